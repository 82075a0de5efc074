"""What became of a call: look-ups of idempotency keys (contract §2.9, §3.9).

Guarantees: what the caller may not see is not there.
Does not: finish or repeat a call.

Change colour: amber.
"""

from __future__ import annotations

from typing import Final

from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from settlement.core.errors import ClaimNotFound
from settlement.edge.http import promises
from settlement.edge.http.answers import reading, reply
from settlement.edge.http.auth import PUBLIC, keyed
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import claims_view

KEY_CHARS_MAX: Final = 255


def _key(text: str) -> str:
    if not 1 <= len(text) <= KEY_CHARS_MAX or not text.isascii() or not text.isprintable():
        raise ClaimNotFound()
    return text


@endpoint("GET", "/protocol/idempotency/stats", access=PUBLIC, answer=promises.IdempotencyStats)
async def idempotency_stats(request: EdgeRequest) -> ASGIResponse:
    """How many keys are known and how many calls are running."""
    return reply(await reading(request, claims_view.stats))


@endpoint("GET", "/protocol/idempotency/{key:str}", access=PUBLIC, answer=promises.IdempotencyKey)
async def idempotency_lookup(request: EdgeRequest, key: FromPath[str]) -> ASGIResponse:
    """The state of a call; its outcome only for those who took part."""
    return reply(await reading(request, claims_view.lookup, _key(key), request.principal))


@endpoint("GET", "/protocol/claims/{key:str}", access=keyed("read"), answer=promises.ClaimView)
async def claim(request: EdgeRequest, key: FromPath[str]) -> ASGIResponse:
    """Everything about a call and its effect, for those who took part, with advice."""
    return reply(await reading(request, claims_view.claim_view, _key(key), request.principal))


ROUTES = (idempotency_stats, idempotency_lookup, claim)
