"""The transparency log: heads, proofs, leaves, keys, anchors (contract §2.8).

Guarantees: every proof is of a size a signed head stands for; positions are bounded before they
reach a query.
Does not: publish roots by request; the sequencer does by itself.

Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from settlement.core.errors import MemberMissing
from settlement.edge.http import promises, promises_reads
from settlement.edge.http.answers import reply, reply_as_is
from settlement.edge.http.auth import PUBLIC
from settlement.edge.http.paths import PageLimit, Position, deal_in_path, position_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

LOG: Final = "/protocol/merkle"


async def _view(
    request: EdgeRequest, read: Callable[..., dict[str, Any]], *args: object
) -> ASGIResponse:
    return reply_as_is(await request.threads.read(read, *args))


def _needed(value: int | None, field: str) -> int:
    if value is None:
        raise MemberMissing(field=field)
    return value


@endpoint("GET", f"{LOG}/public-key", access=PUBLIC, answer=promises_reads.LogKey)
async def public_key(request: EdgeRequest) -> ASGIResponse:
    """The key that signs tree heads."""
    return await _view(request, request.log_views.public_key)


@endpoint("GET", f"{LOG}/keys", access=PUBLIC, answer=promises.Document)
async def log_keys(request: EdgeRequest) -> ASGIResponse:
    """All keys the log signs with."""
    return await _view(request, request.log_views.keys)


@endpoint("GET", f"{LOG}/latest", access=PUBLIC, answer=promises_reads.TreeHead)
async def latest_head(request: EdgeRequest) -> ASGIResponse:
    """The last signed tree head."""
    return await _view(request, request.log_views.latest)


@endpoint("GET", f"{LOG}/sth/{{size:str}}", access=PUBLIC, answer=promises_reads.TreeHead)
async def head_of_size(request: EdgeRequest, size: FromPath[str]) -> ASGIResponse:
    """The signed tree head of exactly that size."""
    return await _view(request, request.log_views.by_size, position_in_path(size))


@endpoint("GET", f"{LOG}/inclusion", access=PUBLIC, answer=promises_reads.LogProof)
async def inclusion(
    request: EdgeRequest, leaf_index: Position = None, tree_size: Position = None
) -> ASGIResponse:
    """That a leaf is in the tree."""
    leaf = _needed(leaf_index, "leaf_index")
    return await _view(request, request.log_views.inclusion, leaf, tree_size)


@endpoint("GET", f"{LOG}/consistency", access=PUBLIC, answer=promises_reads.LogProof)
async def consistency(
    request: EdgeRequest, first: Position = None, second: Position = None
) -> ASGIResponse:
    """That a later tree extends an earlier one."""
    earlier = _needed(first, "first")
    return await _view(request, request.log_views.consistency, earlier, second)


@endpoint("GET", f"{LOG}/entries", access=PUBLIC, answer=promises.Document)
async def entries(
    request: EdgeRequest, start: Position = None, end: Position = None
) -> ASGIResponse:
    """Leaves from `start` to `end`, at most 1000."""
    low, high = _needed(start, "start"), _needed(end, "end")
    return await _view(request, request.log_views.entries, low, high)


@endpoint("GET", f"{LOG}/leaf/{{index:str}}", access=PUBLIC, answer=promises.Document)
async def leaf(request: EdgeRequest, index: FromPath[str]) -> ASGIResponse:
    """One leaf."""
    return await _view(request, request.log_views.leaf, position_in_path(index))


@endpoint("GET", f"{LOG}/stats", access=PUBLIC, answer=promises.Document)
async def log_stats(request: EdgeRequest) -> ASGIResponse:
    """Sizes of the log and what waits to enter it."""
    return await _view(request, request.log_views.stats)


@endpoint("GET", f"{LOG}/deal/{{deal_id:str}}/proof", access=PUBLIC, answer=promises.Document)
async def deal_proof(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """Inclusion of a deal's latest event under a signed head."""
    proof = request.log_views.deal_proof
    return reply_as_is(await request.threads.export(proof, deal_in_path(deal_id)))


@endpoint("GET", f"{LOG}/anchors", access=PUBLIC, answer=promises_reads.Anchors)
async def anchors(
    request: EdgeRequest, limit: PageLimit = 50, offset: Position = 0
) -> ASGIResponse:
    """Receipts of outside time stamps; this server has none yet."""
    del limit, offset
    request.count()
    return reply({"anchors": [], "total": 0})


@endpoint("GET", f"{LOG}/anchors/latest", access=PUBLIC, answer=promises.Document)
async def latest_anchor(request: EdgeRequest) -> ASGIResponse:
    """The last receipt of an outside time stamp, or null."""
    request.count()
    return reply({"anchor": None})


ROUTES = (
    public_key,
    log_keys,
    latest_head,
    head_of_size,
    inclusion,
    consistency,
    entries,
    leaf,
    log_stats,
    deal_proof,
    anchors,
    latest_anchor,
)
