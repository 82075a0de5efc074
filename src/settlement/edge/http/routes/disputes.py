"""Disputes of a deal: open one, read it, and the operator's ruling (contract §3.4, §5.10).

Guarantees: a dispute opened again is the same dispute; a reason is kept as its digest only.
Does not: decide who is a party or what a ruling comes to; the operations do.

Change colour: amber.
"""

from __future__ import annotations

from typing import Any

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.ids import check_name
from settlement.core.operations import OpenDispute, ResolveDispute
from settlement.edge.http import promises_back, schemas, schemas_back
from settlement.edge.http.answers import perform, reading, reply
from settlement.edge.http.auth import ADMIN, PUBLIC, acting_as, keyed
from settlement.edge.http.paths import deal_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routes.refunds import reason_digest
from settlement.edge.http.routing import endpoint
from settlement.service import refunds_view


@endpoint(
    "POST",
    "/protocol/disputes/{deal_id:str}/open",
    access=keyed("go"),
    answer=promises_back.DisputeOpened,
    body=schemas_back.DisputeBody,
)
async def open_dispute(
    request: EdgeRequest, deal_id: FromPath[str], data: JSONBody[schemas_back.DisputeBody]
) -> ASGIResponse:
    """Ask for a ruling; the deal's money waits for it. By the buyer or the seller."""
    claimant = acting_as(request.principal, data.claimant_id, "claimant_id")
    operation = OpenDispute(
        principal=request.principal,
        sent_key=request.sent_key,
        deal_id=deal_in_path(deal_id),
        claimant_id=schemas.optional(claimant, check_name, "claimant_id"),
        respondent_id=schemas.optional(data.respondent_id, check_name, "respondent_id"),
        reason_hash=reason_digest(data.reason),
    )
    return await perform(request, operation)


@endpoint(
    "GET",
    "/protocol/disputes/{deal_id:str}",
    access=PUBLIC,
    answer=promises_back.DisputeShown,
)
async def get_dispute(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """The dispute of a deal, for whoever knows the deal's id."""
    found: dict[str, Any] = await reading(request, refunds_view.dispute, deal_in_path(deal_id))
    return reply(found)


@endpoint(
    "POST",
    "/protocol/disputes/{deal_id:str}/resolve",
    access=ADMIN,
    answer=promises_back.DisputeResolved,
    body=schemas_back.RulingBody,
)
async def resolve_dispute(
    request: EdgeRequest, deal_id: FromPath[str], data: JSONBody[schemas_back.RulingBody]
) -> ASGIResponse:
    """Rule: `seller_ppm` millionths are the seller's, the rest goes back to who paid."""
    operation = ResolveDispute(
        principal=request.principal,
        sent_key=request.sent_key,
        deal_id=deal_in_path(deal_id),
        seller_ppm=data.seller_ppm,
        ruling_hash=reason_digest(data.reason),
    )
    return await perform(request, operation)


ROUTES = (open_dispute, get_dispute, resolve_dispute)
