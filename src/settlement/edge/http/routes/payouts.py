"""Payouts: ask for one, and read where they stand (contract §3.6).

Guarantees: one per deal and payee however often it is asked for; a stranger's does not exist.
Does not: call a rail; the worker does.

Change colour: amber.
"""

from __future__ import annotations

from typing import Annotated

from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response.base import ASGIResponse

from settlement.core.errors import MemberMissing
from settlement.core.ids import DealId, DestinationId, check_name
from settlement.core.limits import Bucket
from settlement.core.operations import RequestPayout
from settlement.edge.http import promises, schemas
from settlement.edge.http.answers import ask, reading, reply, to_response
from settlement.edge.http.auth import acting_as, keyed
from settlement.edge.http.paths import PageLimit, deal_in_path, payout_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import payouts_view

#: `state` itself is a name of the framework's.
StateFilter = Annotated[str | None, QueryParameter(name="state")]


@endpoint(
    "POST",
    "/protocol/payouts",
    access=keyed("payout"),
    answer=promises.PayoutMade,
    body=schemas.PayoutBody,
    bucket=Bucket.PAYOUT,
)
async def request_payout(request: EdgeRequest, data: JSONBody[schemas.PayoutBody]) -> ASGIResponse:
    """Pay a payee's whole net of one deal out to its destination."""
    payee = acting_as(request.principal, data.agent_id, "agent_id")
    if payee is None:
        raise MemberMissing(field="agent_id")
    operation = RequestPayout(
        principal=request.principal,
        sent_key=request.sent_key,
        deal_id=str(DealId.parse(data.deal_id, "deal_id")),
        agent_id=check_name(payee, "agent_id"),
        destination_id=schemas.optional(data.destination_id, DestinationId.parse, "destination_id"),
    )
    answer = await ask(request, operation)
    if answer.result is None:
        return to_response(request, answer)
    payout_id = answer.result["payout_id"]
    found = await reading(request, payouts_view.payout, payout_id, request.principal)
    return to_response(request, answer, lambda result: {**result, "payout": found})


@endpoint(
    "GET", "/protocol/payouts/{payout_id:str}", access=keyed("read"), answer=promises.PayoutOne
)
async def get_payout(request: EdgeRequest, payout_id: FromPath[str]) -> ASGIResponse:
    """One payout: its state, what it waits for and who can end that."""
    known = payout_in_path(payout_id)
    found = await reading(request, payouts_view.payout, known, request.principal)
    return reply({"payout": found})


@endpoint("GET", "/protocol/payouts", access=keyed("read"), answer=promises.Payouts)
async def list_payouts(
    request: EdgeRequest,
    deal_id: FromQuery[str | None] = None,
    payout_state: StateFilter = None,
    limit: PageLimit = 50,
    cursor: FromQuery[str | None] = None,
) -> ASGIResponse:
    """The caller's payouts, oldest first; `state` and `deal_id` narrow the list."""
    wanted = payouts_view.PayoutFilter.of(
        deal_id=deal_in_path(deal_id) if deal_id else None,
        state=payout_state or None,
        cursor=cursor or None,
        limit=limit,
    )
    return reply(await reading(request, payouts_view.payouts, request.principal, wanted))


ROUTES = (request_payout, get_payout, list_payouts)
