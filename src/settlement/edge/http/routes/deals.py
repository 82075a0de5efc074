"""What is read of a deal: timeline, splits, attribution, ledger, replay, revenue audit.

Guarantees: timeline and splits are public to whoever knows the id; the rest is for parties and
operators, and does not exist for others.
Does not: change a deal.

Contract §2.5, §2.7, §3.3. Change colour: amber.
"""

from __future__ import annotations

from litestar.params import FromPath, FromQuery
from litestar.response.base import ASGIResponse

from settlement.edge.http import promises, promises_reads
from settlement.edge.http.answers import reading, reply
from settlement.edge.http.auth import PUBLIC, keyed
from settlement.edge.http.money import number
from settlement.edge.http.paths import agent_in_path, deal_in_path, version_cursor
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import deals, replay, revenue


@endpoint(
    "GET", "/protocol/deals/{deal_id:str}/timeline", access=PUBLIC, answer=promises_reads.Timeline
)
async def timeline(
    request: EdgeRequest, deal_id: FromPath[str], cursor: FromQuery[str | None] = None
) -> ASGIResponse:
    """Events and ledger rows of a deal; a very long one in pages of 1000 events."""
    known, start = deal_in_path(deal_id), version_cursor(cursor)
    found = await reading(request, deals.timeline, known, from_version=start)
    following = found.pop("next_version")
    return reply({**found, "next_cursor": None if following is None else str(following)})


@endpoint("GET", "/protocol/deals/{deal_id:str}/splits", access=PUBLIC, answer=promises.Splits)
async def splits(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """Who gets which part of a settled deal; empty before."""
    found = await reading(request, deals.splits, deal_in_path(deal_id))
    for row in found["splits"]:
        row["share"] = number(row["share"])
    return reply(found)


@endpoint(
    "GET",
    "/protocol/deals/{deal_id:str}/attribution",
    access=keyed("audit"),
    answer=promises_reads.Attribution,
)
async def attribution(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """Events, ledger and policies of a deal, for its parties and operators."""
    known = deal_in_path(deal_id)
    return reply(await reading(request, deals.attribution, known, request.principal))


@endpoint(
    "GET",
    "/protocol/deals/{deal_id:str}/ledger",
    access=keyed("audit"),
    answer=promises_reads.Ledger,
)
async def ledger(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """The deal's ledger entries, for its parties and operators."""
    known = deal_in_path(deal_id)
    return reply(await reading(request, deals.ledger, known, request.principal))


@endpoint(
    "GET",
    "/protocol/deals/{deal_id:str}/replay",
    access=keyed("audit"),
    answer=promises_reads.Replay,
)
async def replay_deal(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """The deal recomputed from its events alone and compared with the books."""
    known = deal_in_path(deal_id)
    found = await reading(request, replay.replay_for, known, request.principal)
    return reply(found)


@endpoint(
    "GET",
    "/protocol/agents/{agent_id:str}/revenue-audit",
    access=keyed("audit"),
    answer=promises_reads.RevenueAudit,
)
async def revenue_audit(request: EdgeRequest, agent_id: FromPath[str]) -> ASGIResponse:
    """What an agent earned and paid, deal by deal, for itself and operators."""
    window = revenue.Window.of(
        start=request.query_params.get("from"),
        end=request.query_params.get("to"),
        cursor=request.query_params.get("cursor"),
    )
    audit = revenue.audit_for
    found = await request.threads.read(
        audit, request.services.db, agent_in_path(agent_id), request.principal, window
    )
    return reply(found)


ROUTES = (timeline, splits, attribution, ledger, replay_deal, revenue_audit)
