"""GO: the buyer approves (contract §2.3). Thin: parse, authenticate, submit, await.

Guarantees: `payment_url` is our own page for the deal, so a replay shows the same one.
Does not: check the quote or move money; the operation does.

Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.params import JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.ids import DealId, check_hash, check_name
from settlement.core.limits import Bucket
from settlement.core.money import Asset
from settlement.core.operations import Go
from settlement.edge.http import promises, schemas
from settlement.edge.http.answers import perform
from settlement.edge.http.auth import GO, acting_as
from settlement.edge.http.paths import url
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping


@endpoint(
    "POST",
    "/protocol/go",
    access=GO,
    answer=promises.Approved,
    body=schemas.GoBody,
    bucket=Bucket.GO,
)
async def go(request: EdgeRequest, data: JSONBody[schemas.GoBody]) -> ASGIResponse:
    """Approve the quoted work; `amount`, if sent, replaces the price."""
    caller = request.principal
    actor = acting_as(caller, data.actor_id, "actor_id")
    asset = Asset.parse(request.services.rules.default_asset)
    operation = Go(
        principal=caller,
        sent_key=request.sent_key,
        deal_id=str(DealId.parse(data.deal_id, "deal_id")),
        quote_id=check_hash(data.quote_id, "quote_id"),
        scope_lock_hash=check_hash(data.scope_lock_hash, "scope_lock_hash"),
        amount_minor=None if data.amount is None else data.amount.minor(asset, "amount"),
        actor_id=schemas.optional(actor, check_name, "actor_id"),
    )

    def shown(result: dict[str, Any]) -> Mapping[str, Any]:
        deal_id = result["deal_id"]
        return {
            **result,
            "payment_url": url(request, f"/pay/{deal_id}"),
            "proof_url": url(request, f"/proof/{deal_id}"),
        }

    return await perform(request, operation, shown)


ROUTES = (go,)
