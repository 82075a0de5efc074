"""Mandates and auto-go (contract §5.4). Thin: parse, authenticate, submit, await.

Guarantees: a mandate that puts money aside is made only under an Idempotency-Key, because the same
call twice would put it aside twice.
Does not: test limits or move money; the operations do.

Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.errors import IdempotencyKeyRequired, InvalidField, MemberMissing
from settlement.core.ids import DealId, MandateId, check_hash, check_name, check_slug
from settlement.core.limits import Bucket
from settlement.core.mandates import read_confidence, verticals_text
from settlement.core.money import Asset
from settlement.core.operations import AutoGo, CreateMandate, RevokeMandate
from settlement.core.operations.auto_go import APPROVED
from settlement.edge.http import promises_mandates as promises
from settlement.edge.http import schemas
from settlement.edge.http.answers import perform, reading, reply
from settlement.edge.http.auth import acting_as, keyed, open_to
from settlement.edge.http.money import Amount, number
from settlement.edge.http.paths import agent_in_path, mandate_in_path, url
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import mandates
from settlement.service.fresh import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE = "/protocol/mandates"
_BY_A_PERSON: Final = {
    "decision": APPROVED,
    "reasons": (),
    "mandate_id": None,
    "reserve_drawn_minor": 0,
}


@endpoint(
    "POST",
    BASE,
    access=keyed("go"),
    answer=promises.MandateMade,
    body=schemas.MandateBody,
)
async def create_mandate(request: EdgeRequest, data: JSONBody[schemas.MandateBody]) -> ASGIResponse:
    """Say what may be approved without asking; `reserve` puts money aside to pay for it."""
    buyer = acting_as(request.principal, data.buyer_id, "buyer_id")
    if buyer is None:
        raise MemberMissing(field="buyer_id")
    asset = Asset.parse(request.services.rules.default_asset)
    reserve_minor = None if data.reserve is None else data.reserve.minor(asset, "reserve")
    if reserve_minor is not None and request.sent_key is None:
        raise IdempotencyKeyRequired(operation="A mandate with a reserve")
    verticals = [_vertical(name, at) for at, name in enumerate(data.allowed_verticals)]
    operation = CreateMandate(
        principal=request.principal,
        sent_key=request.sent_key,
        mandate_id=new_id(MandateId.prefix),
        buyer_id=check_name(buyer, "buyer_id"),
        asset=asset.code,
        max_amount_minor=data.max_amount_per_deal_usd.minor(asset, "max_amount_per_deal_usd"),
        allowed_verticals=verticals_text(verticals, "allowed_verticals"),
        confidence_threshold=_confidence(data.confidence_threshold, "confidence_threshold"),
        reserve_minor=reserve_minor,
        valid_seconds=data.valid_seconds,
    )
    return await perform(request, operation, _shown)


def _confidence(value: object, field: str) -> str:
    try:
        text = Amount(value).text
    except ValueError as error:
        raise InvalidField(field=field, reason=str(error)) from None
    return read_confidence(text, field)


def _vertical(name: str, at: int) -> str:
    field = f"allowed_verticals[{at}]"
    if not name:
        raise InvalidField(field=field, reason="must not be empty")
    return check_slug(name, field)


def _view(mandate: Mapping[str, Any]) -> dict[str, Any]:
    return {**mandate, "confidence_threshold": number(mandate["confidence_threshold"])}


def _shown(result: dict[str, Any]) -> Mapping[str, Any]:
    own = {name: value for name, value in result.items() if name != "returned_minor"}
    answer = {"mandate": _view(own), "mandate_id": own["mandate_id"], "asset": own["asset"]}
    if "returned_minor" in result:
        answer["returned_minor"] = result["returned_minor"]
    return answer


@endpoint("GET", f"{BASE}/{{buyer_id:str}}", access=keyed("go"), answer=promises.Mandates)
async def list_mandates(request: EdgeRequest, buyer_id: FromPath[str]) -> ASGIResponse:
    """A buyer's own mandates, newest first, with what is left of each reserve."""
    known = agent_in_path(buyer_id)
    mandates.check_owner(known, request.principal)
    found = await reading(request, mandates.listed, known)
    return reply({**found, "mandates": [_view(one) for one in found["mandates"]]})


@endpoint(
    "POST",
    f"{BASE}/{{mandate_id:str}}/revoke",
    access=keyed("go"),
    answer=promises.MandateEnded,
    body=schemas.NoBody,
)
async def revoke_mandate(
    request: EdgeRequest, mandate_id: FromPath[str], data: JSONBody[schemas.NoBody]
) -> ASGIResponse:
    """End a mandate; what is left of its reserve goes back to the buyer."""
    del data
    operation = RevokeMandate(
        principal=request.principal,
        sent_key=request.sent_key,
        mandate_id=mandate_in_path(mandate_id),
    )
    return await perform(request, operation, _shown)


@endpoint(
    "POST",
    "/protocol/auto-go",
    access=open_to("go"),
    bucket=Bucket.GO,
    answer=promises.AutoApproved,
    body=schemas.AutoGoBody,
)
async def auto_go(request: EdgeRequest, data: JSONBody[schemas.AutoGoBody]) -> ASGIResponse:
    """Approve by a buyer's mandate; where it does not allow it, say which limits stand against."""
    buyer = schemas.optional(data.buyer_id, check_name, "buyer_id")
    mandate = schemas.optional(data.mandate_id, check_name, "mandate_id")
    operation = AutoGo(
        principal=request.principal,
        sent_key=request.sent_key,
        deal_id=str(DealId.parse(data.deal_id, "deal_id")),
        quote_id=check_hash(data.quote_id, "quote_id"),
        buyer_id=buyer,
        mandate_id=mandate,
        seller_agent_id=schemas.optional(data.seller_agent_id, check_name, "seller_agent_id"),
        candidates=await _candidates(request, buyer, mandate),
    )

    def shown(result: dict[str, Any]) -> Mapping[str, Any]:
        # A call that names no buyer may be the replay of a GO, whose answer lacks what is ours.
        result = {**_BY_A_PERSON, **result}
        deal_id = result["deal_id"]
        approved = result["decision"] == APPROVED
        paid = bool(result["reserve_drawn_minor"])
        return {
            **result,
            "payment_url": url(request, f"/pay/{deal_id}") if approved and not paid else None,
            "proof_url": url(request, f"/proof/{deal_id}"),
        }

    return await perform(request, operation, shown)


async def _candidates(
    request: EdgeRequest, buyer: str | None, mandate: str | None
) -> tuple[str, ...]:
    """The mandate that was named, else those of whoever seems to buy."""
    if mandate is not None:
        return (mandate,)
    who = buyer or request.principal.agent_id
    return () if who is None else await reading(request, mandates.candidates, who)


ROUTES = (create_mandate, list_mandates, revoke_mandate, auto_go)
