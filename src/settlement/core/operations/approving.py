"""Approving: the gross and its fee are pinned, and GO_APPROVED says so.

For: GO, and settle, where whoever pays approves (or, in sandbox, the simulated rail stands in).
Guarantees: policy, hash, tier and volume of the fee are those of this moment, for ever (spec §3.2);
no approval is above the price of an award.
Does not: check who approves; the operations do, above their point of no return.

Spec §3.2, §4.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from settlement.core.errors import AmountMismatch
from settlement.core.fees import POLICIES, FeeQuote, split_fees
from settlement.core.money import Asset
from settlement.core.rows import DealState

if TYPE_CHECKING:
    from settlement.core.events import Actor, Chain
    from settlement.core.operation import Context
    from settlement.core.rows import Deal
    from settlement.core.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Who approves what, once it is certain."""

    by: Actor
    quote: FeeQuote
    buyer_id: str | None
    buyer_label: str
    mandate_id: str | None = None
    auto: bool = False


def volume_key(agent_id: str, asset: str, ctx: Context) -> tuple[str, str, str]:
    """The name of an agent's rolling volume in `Needs` and `State`."""
    return agent_id, asset, ctx.window_start


def rolling_volume(state: State, seller_id: str | None, asset: str, ctx: Context) -> int:
    """V of spec §3.2; an unbound seller has none."""
    if seller_id is None:
        return 0
    point = state.volumes[volume_key(seller_id, asset, ctx)]
    return point.total_minor - point.before_window_minor


def check_award(deal: Deal, gross_minor: int) -> None:
    """An award is the most that is approved, whoever approves; raises AmountMismatch."""
    if deal.intent_id is not None and gross_minor > deal.price_minor:
        raise AmountMismatch(
            deal_id=deal.deal_id, approved_minor=deal.price_minor, named_minor=gross_minor
        )


def quote_now(deal: Deal, gross_minor: int, volume_minor: int, ctx: Context) -> FeeQuote:
    """The fee under the operator's policy of today; raises NetBelowMinimum."""
    return split_fees(
        POLICIES[ctx.rules.fee_policy],
        gross_minor,
        Asset.parse(deal.asset),
        volume_minor=volume_minor,
    )


def quote_pinned(deal: Deal) -> FeeQuote:
    """The fee as approved: later changes of policy or volume do not touch it."""
    assert deal.gross_minor is not None, "an approved deal has its gross"
    assert deal.fee_policy is not None, "an approved deal has its fee policy"
    assert deal.volume_minor is not None, "an approved deal has its volume"
    return split_fees(
        POLICIES[deal.fee_policy],
        deal.gross_minor,
        Asset.parse(deal.asset),
        volume_minor=deal.volume_minor,
        tier=deal.tier,
    )


def approve(chain: Chain, deal: Deal, approval: Approval) -> dict[str, Any]:
    """Append the approval; returns the deal's changed columns."""
    quote, by = approval.quote, approval.by
    buyer = approval.buyer_id or approval.buyer_label or by.actor_id
    chain.append(
        "AUTO_GO_APPROVED" if approval.auto else "GO_APPROVED",
        by,
        {
            "asset": deal.asset,
            "gross_minor": quote.gross_minor,
            "buyer": buyer,
            "scope_lock_hash": deal.scope_lock_hash,
            "fee_policy": quote.policy_id,
            "fee_policy_hash": quote.policy_hash,
            "tier": quote.tier,
            "volume_minor": quote.volume_minor,
            "mandate_id": approval.mandate_id,
        },
        counterparty_id=deal.seller_id or deal.seller_label or None,
    )
    return {
        "state": DealState.GO_APPROVED,
        "buyer_id": approval.buyer_id,
        "buyer_label": approval.buyer_label,
        "gross_minor": quote.gross_minor,
        "fee_policy": quote.policy_id,
        "fee_policy_hash": quote.policy_hash,
        "tier": quote.tier,
        "volume_minor": quote.volume_minor,
        "approval_authority": by.authority,
        "approval_mode": "auto" if approval.auto else "manual",
        "approved_by": by.actor_id,
        "mandate_id": approval.mandate_id,
    }
