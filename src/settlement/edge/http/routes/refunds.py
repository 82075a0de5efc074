"""Refunds of a deal, and its end without money (contract §3.4).

Guarantees: a refund needs an Idempotency-Key, for nothing else tells a repeat from a second one.
Does not: choose the payment or who bears it; the operation does.

Change colour: amber.
"""

from __future__ import annotations

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.canonical import sha256_hex
from settlement.core.errors import IdempotencyKeyRequired
from settlement.core.money import Asset
from settlement.core.operations import Cancel, Refund
from settlement.edge.http import promises_back, schemas, schemas_back
from settlement.edge.http.answers import perform, reading, reply
from settlement.edge.http.auth import keyed
from settlement.edge.http.paths import deal_in_path
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import refunds_view

REASON_CHARS_MAX = 2000


def reason_digest(text: str | None) -> str | None:
    """What is kept of a free text: its digest."""
    if not text:
        return None
    return sha256_hex(schemas.free_text(text, "reason", REASON_CHARS_MAX))


def required_key(request: EdgeRequest, operation: str) -> str:
    """The sent key; raises IdempotencyKeyRequired."""
    key = request.sent_key
    if key is None:
        raise IdempotencyKeyRequired(operation=operation)
    return key


@endpoint(
    "POST",
    "/protocol/deals/{deal_id:str}/refund",
    access=keyed("settle"),
    answer=promises_back.Refunded,
    body=schemas_back.RefundBody,
)
async def refund(
    request: EdgeRequest, deal_id: FromPath[str], data: JSONBody[schemas_back.RefundBody]
) -> ASGIResponse:
    """Give money back to the payment it came from: all that can go back, or the amount named."""
    asset = Asset.parse(request.services.rules.default_asset)
    amount_minor = None if data.amount is None else data.amount.minor(asset, "amount")
    operation = Refund(
        principal=request.principal,
        reason_hash=reason_digest(data.reason),
        sent_key=required_key(request, "A refund"),
        deal_id=deal_in_path(deal_id),
        amount_minor=amount_minor,
    )
    return await perform(request, operation)


@endpoint(
    "GET",
    "/protocol/deals/{deal_id:str}/refunds",
    access=keyed("read"),
    answer=promises_back.Refunds,
)
async def list_refunds(request: EdgeRequest, deal_id: FromPath[str]) -> ASGIResponse:
    """The refunds and chargebacks of a deal, for its parties and operators."""
    known = deal_in_path(deal_id)
    return reply(await reading(request, refunds_view.refunds, known, request.principal))


@endpoint(
    "POST",
    "/protocol/deals/{deal_id:str}/cancel",
    access=keyed("settle"),
    answer=promises_back.Cancelled,
    body=schemas_back.CancelBody,
)
async def cancel(
    request: EdgeRequest, deal_id: FromPath[str], data: JSONBody[schemas_back.CancelBody]
) -> ASGIResponse:
    """End a deal that has no money; by its seller, its buyer or an operator."""
    operation = Cancel(
        principal=request.principal,
        sent_key=request.sent_key,
        deal_id=deal_in_path(deal_id),
        reason_hash=reason_digest(data.reason),
    )
    return await perform(request, operation)


ROUTES = (refund, list_refunds, cancel)
