"""Settle and settle/multi (contract §2.5). Thin: parse, authenticate, submit, await.

Guarantees: both request shapes in use are one call: `amount` and `amount_usd` are the same member,
and zero or none means the approved amount.
Does not: choose payee or source of money; the operation does.

Change colour: amber.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from litestar.params import JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.errors import InvalidField
from settlement.core.ids import DealId, check_hash, check_name, check_slug
from settlement.core.limits import Bucket
from settlement.core.money import Asset
from settlement.core.operations import Settle, Split
from settlement.edge.http import promises, schemas
from settlement.edge.http.answers import ask, reading, to_response
from settlement.edge.http.auth import acting_as, keyed
from settlement.edge.http.money import number, optional_minor
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.service import deals

if TYPE_CHECKING:
    from collections.abc import Sequence

PAYEES_MAX: Final = 100
DEFAULT_ROLE: Final = "payee"


@endpoint(
    "POST",
    "/protocol/settle",
    access=keyed("settle"),
    answer=promises.Settled,
    body=schemas.SettleBody,
    bucket=Bucket.SETTLE,
)
async def settle(request: EdgeRequest, data: JSONBody[schemas.SettleBody]) -> ASGIResponse:
    """Close a deal: fees and net are booked once, whoever asks how often."""
    caller = request.principal
    actor = acting_as(caller, data.actor_id, "actor_id")
    operation = Settle(
        principal=caller,
        sent_key=request.sent_key,
        deal_id=str(DealId.parse(data.deal_id, "deal_id")),
        amount_minor=_amount(request, data),
        actor_id=schemas.optional(actor, check_name, "actor_id"),
        counterparty_id=schemas.optional(data.counterparty_id, check_name, "counterparty_id"),
        to_agent=schemas.optional(data.to_agent, check_name, "to_agent"),
        provider=schemas.optional(data.provider, check_slug, "provider"),
        proof_hash=schemas.optional(data.proof_hash, check_hash, "proof_hash"),
    )
    return await _answered(request, operation)


async def _answered(request: EdgeRequest, operation: Settle) -> ASGIResponse:
    """Ask and answer; what replays for whoever names the deal shows payouts to its parties only."""
    answer = await ask(request, operation)
    if answer.replayed and answer.result is not None and answer.result.get("payouts"):
        deal_id, caller = operation.deal_id, request.principal
        if not await reading(request, deals.is_of, deal_id, caller):
            answer = replace(answer, result={**answer.result, "payouts": []})
    return to_response(request, answer, _shares_as_numbers)


def _amount(request: EdgeRequest, data: schemas.SettleBody) -> int | None:
    asset = Asset.parse(request.services.rules.default_asset)
    amount = optional_minor(data.amount, asset, "amount")
    amount_usd = optional_minor(data.amount_usd, asset, "amount_usd")
    if amount is not None and amount_usd is not None and amount != amount_usd:
        raise InvalidField(field="amount_usd", reason="differs from amount")
    return amount if amount_usd is None else amount_usd


@endpoint(
    "POST",
    "/protocol/settle/multi",
    access=keyed("settle"),
    answer=promises.SettledMulti,
    body=schemas.SettleMultiBody,
    bucket=Bucket.SETTLE,
)
async def settle_multi(
    request: EdgeRequest, data: JSONBody[schemas.SettleMultiBody]
) -> ASGIResponse:
    """Close a deal among several payees; the parts sum to the total exactly."""
    caller = request.principal
    actor = acting_as(caller, data.actor_id, "actor_id")
    asset = Asset.parse(request.services.rules.default_asset)
    operation = Settle(
        principal=caller,
        sent_key=request.sent_key,
        deal_id=str(DealId.parse(data.deal_id, "deal_id")),
        amount_minor=optional_minor(data.total_amount_usd, asset, "total_amount_usd"),
        actor_id=schemas.optional(actor, check_name, "actor_id"),
        counterparty_id=schemas.optional(data.counterparty_id, check_name, "counterparty_id"),
        provider=schemas.optional(data.provider, check_slug, "provider"),
        proof_hash=schemas.optional(data.proof_hash, check_hash, "proof_hash"),
        splits=_splits(data.splits),
    )
    return await _answered(request, operation)


def _shares_as_numbers(result: dict[str, Any]) -> dict[str, Any]:
    """Shares leave as they came in, as numbers; the same rows are read at .../splits."""
    rows = result.get("splits", [])
    return {**result, "splits": [{**row, "share": number(row["share"])} for row in rows]}


def _splits(sent: Sequence[schemas.SplitBody]) -> tuple[Split, ...]:
    if not 1 <= len(sent) <= PAYEES_MAX:
        raise InvalidField(field="splits", reason=f"not 1 to {PAYEES_MAX} payees")
    splits = tuple(
        Split(
            agent_id=check_name(one.agent_id, f"splits[{at}].agent_id"),
            role=schemas.free_text(one.role or DEFAULT_ROLE, f"splits[{at}].role", 64),
            share=one.share.text,
        )
        for at, one in enumerate(sent)
    )
    if len({split.agent_id for split in splits}) < len(splits):
        raise InvalidField(field="splits", reason="a payee is named twice")
    return splits


ROUTES = (settle, settle_multi)
