"""Top-ups of an agent's own balance (contract §3.4). Thin: parse, authenticate, submit, await.

Guarantees: a top-up needs an Idempotency-Key, for nothing else tells a repeat from a second one.
Does not: take money; the rail does, at its page or (in sandbox) by itself.

Change colour: amber.
"""

from __future__ import annotations

from litestar.params import JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.errors import MemberMissing
from settlement.core.ids import TopupId
from settlement.core.money import Asset
from settlement.core.operations import TopUp
from settlement.edge.http import promises_back, schemas_back
from settlement.edge.http.answers import perform
from settlement.edge.http.auth import acting_as, keyed
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routes.refunds import required_key
from settlement.edge.http.routing import endpoint
from settlement.service.fresh import new_id


@endpoint(
    "POST",
    "/protocol/topups",
    access=keyed("settle"),
    answer=promises_back.ToppedUp,
    body=schemas_back.TopupBody,
)
async def top_up(request: EdgeRequest, data: JSONBody[schemas_back.TopupBody]) -> ASGIResponse:
    """Put money on the caller's balance: `payment_url` is where it is paid, in sandbox at once."""
    asset = Asset.parse(request.services.rules.default_asset)
    agent_id = acting_as(request.principal, None, "agent_id")
    if agent_id is None:
        raise MemberMissing(field="agent_id")
    operation = TopUp(
        principal=request.principal,
        sent_key=required_key(request, "A top-up"),
        topup_id=new_id(TopupId.prefix),
        agent_id=agent_id,
        asset=asset.code,
        amount_minor=data.amount.minor(asset, "amount"),
    )
    return await perform(request, operation)


ROUTES = (top_up,)
