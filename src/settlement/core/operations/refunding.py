"""Writing a refund: its row, its legs and its event, the effect for a rail, and what it ends.

For: the refund operation and rulings (which plan), and the rail's answer (which finishes).
Guarantees: a refund's event carries its tx; to a rail it is REFUND_INITIATED with every leg held,
then REFUNDED or REFUND_FAILED by the rail's word; to an account of ours REFUNDED at once. Volume
falls by what the settlement gave back, in the transaction that books it.
Does not: check; its callers have passed their point of no return.

Spec §3.2, §5.4, §6.4. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from settlement.core.accounts import escrow_account
from settlement.core.obligations import refund_obligation
from settlement.core.operations._common import effect_job, shown_buyer, shown_seller
from settlement.core.operations.approving import volume_key
from settlement.core.operations.giving_back import (
    Parts,
    hold_refund,
    read_parts,
    source_account,
    take_back,
)
from settlement.core.refund_rows import BadOutcome, Refund, RefundKind, RefundState
from settlement.core.rows import (
    DealState,
    Effect,
    EffectKind,
    EffectState,
    Phase,
    VolumeEntry,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.events import Actor, Chain
    from settlement.core.ledger import Books
    from settlement.core.operation import Context
    from settlement.core.refund_rows import PaymentIn
    from settlement.core.rows import Deal
    from settlement.core.state import State


REQUESTED: Final = "requested"
BY_OPERATOR: Final = "operator"
RULING: Final = "ruling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why money goes back, and which claim waits for it."""

    requested_by: str
    reason_code: str  # requested | operator | ruling
    obligation: str  # what tells this refund from every other
    reason_hash: str | None = None
    dispute_id: str | None = None
    claim: tuple[str, str, str] | None = None


@dataclass(slots=True, kw_only=True)
class Refunding:
    """The refunds of one decision."""

    state: State
    ctx: Context
    books: Books
    chain: Chain
    deal: Deal
    by: Actor
    volume_minor: int = 0  # taken off the seller's volume so far in this decision
    volume_entries: int = 0

    def plan(self, payment: PaymentIn, parts: Parts, cause: Cause) -> Refund:
        """Write one refund: final to an account of ours, held for a rail."""
        refund = self._row(payment, parts, cause)
        tx = self.books.begin()
        if payment.rail is None:
            take_back(tx, self.state, self.deal, parts)
            escrow = escrow_account(self.deal.deal_id)
            tx.add("refund", escrow, source_account(payment), parts.total)
            refund = replace(refund, state=RefundState.CONFIRMED)
        else:
            holds = take_back(tx, self.state, self.deal, parts, phase=Phase.HOLD)
            if parts.escrow:
                holds.append(hold_refund(tx, self.deal, payment, parts.escrow))
            effect = self._effect(refund, cause)
            refund = replace(refund, holds=json.dumps(holds), effect_id=effect.effect_id)
            self.books.writes.effects_new.append(effect)
            self.books.writes.jobs.append(effect_job(self.ctx, effect))
        event_type = "REFUNDED" if payment.rail is None else "REFUND_INITIATED"
        event = self.chain.append(
            event_type,
            self.by,
            back_payload(refund, cause.reason_code) | tx.facts(),
            event_id=tx.event_id,
            counterparty_id=self.other(),
        )
        tx.book(event)
        self.books.writes.refunds_new.append(refund)
        if payment.rail is None:
            self.take_volume(refund)
        return refund

    def take_volume(self, refund: Refund) -> None:
        """The seller's volume, less what its settlement gave back (spec §3.2)."""
        back = read_parts(refund.parts).settled
        if back and self.state.settlements[self.deal.deal_id] is not None:
            take_volume(self.books, self.state, self.deal, back, self)

    def other(self) -> str:
        """The counterparty of whoever acts."""
        is_seller = self.by.actor_id == self.deal.seller_id
        return shown_buyer(self.deal) if is_seller else shown_seller(self.deal)

    def _row(self, payment: PaymentIn, parts: Parts, cause: Cause) -> Refund:
        now = self.ctx.now
        return Refund(
            refund_id=self.ctx.ids.new("ref_"),
            deal_id=self.deal.deal_id,
            kind=RefundKind.REFUND,
            payment_event_id=payment.event_id,
            source=payment.source,
            rail=payment.rail,
            payment_ref=payment.rail_ref,
            asset=self.deal.asset,
            amount_minor=parts.total,
            parts=parts.text(),
            holds="[]",
            state=RefundState.PLANNED,
            effect_id=None,
            dispute_id=cause.dispute_id,
            requested_by=cause.requested_by,
            reason_hash=cause.reason_hash,
            rail_ref=None,
            refusal=None,
            created_at=now,
            updated_at=now,
        )

    def _effect(self, refund: Refund, cause: Cause) -> Effect:
        assert refund.rail is not None, "only a rail has effects"
        now = self.ctx.now
        plan = {
            "refund_id": refund.refund_id,
            "reason_code": cause.reason_code,
            "claim": list(cause.claim) if cause.claim is not None else None,
        }
        return Effect(
            effect_id=self.ctx.ids.new("eff_"),
            obligation_key=refund_obligation(cause.obligation),
            kind=EffectKind.REFUND,
            deal_id=refund.deal_id,
            rail=refund.rail,
            asset=refund.asset,
            amount_minor=refund.amount_minor,
            state=EffectState.PLANNED,
            fence=0,
            destination=refund.payment_ref,
            plan=json.dumps(plan),
            claim_operation=cause.claim[1] if cause.claim is not None else None,
            claim_key=cause.claim[2] if cause.claim is not None else None,
            payout_id=None,
            rail_ref=None,
            refusal=None,
            ask_count=0,
            sent_at=None,
            asked_at=None,
            created_at=now,
            updated_at=now,
        )


def take_volume(
    books: Books, state: State, deal: Deal, back_minor: int, run: Refunding | None = None
) -> None:
    """One negative entry of the seller's running volume."""
    assert deal.seller_id is not None, "a settled deal has a registered seller"
    entries = run.volume_entries if run is not None else 0
    before = run.volume_minor if run is not None else 0
    point = state.volumes[volume_key(deal.seller_id, deal.asset, books.context)]
    books.writes.volumes.append(
        VolumeEntry(
            agent_id=deal.seller_id,
            asset=deal.asset,
            n=point.n + entries + 1,
            at=max(books.now, point.at),
            delta_minor=-back_minor,
            total_minor=point.total_minor - before - back_minor,
            deal_id=deal.deal_id,
        )
    )
    if run is not None:
        run.volume_entries += 1
        run.volume_minor += back_minor


def back_payload(
    refund: Refund, reason_code: str, *, rail_ref: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The members all refund events share; the tx adds its own."""
    members: dict[str, Any] = {
        "refund_id": refund.refund_id,
        "amount_minor": refund.amount_minor,
        "source": refund.source,
        "payment_event_id": refund.payment_event_id,
        "reason_code": reason_code,
    }
    more = {
        "dispute_id": refund.dispute_id,
        "reason_hash": refund.reason_hash,
        "rail": refund.rail,
        "payment_ref": refund.payment_ref,
        "rail_ref": rail_ref,
        "code": code,
    }
    return members | {name: text for name, text in more.items() if text is not None}


def is_all_back(state: State, deal: Deal, changed: Sequence[Refund]) -> bool:
    """True when every payment of the deal has gone back whole, by confirmed refunds alone."""
    known = {one.refund_id: one for one in state.refunds[deal.deal_id]}
    known.update({one.refund_id: one for one in changed})
    done = [one for one in known.values() if one.state is RefundState.CONFIRMED]
    back = sum(one.amount_minor for one in done)
    return back >= sum(one.amount_minor for one in state.payments[deal.deal_id]) > 0


def ended(run: Refunding, refund: Refund, reason_code: str) -> dict[str, Any]:
    """What a confirmed refund does to its deal, and to the seller's standing."""
    changes = end_if_all_back(run, [refund])
    if reason_code == BY_OPERATOR and (changes or read_parts(refund.parts).settled):
        record_outcome(run, "refunded", bad=True)
    elif changes:
        record_outcome(run, "refunded")
    return changes


def end_if_all_back(run: Refunding, changed: Sequence[Refund]) -> dict[str, Any]:
    """The deal's changed columns: refunded when nothing is left of its payments."""
    if run.deal.state is DealState.REFUNDED or not is_all_back(run.state, run.deal, changed):
        return {}
    return {"state": DealState.REFUNDED}


def record_outcome(run: Refunding, outcome: str, *, bad: bool = False) -> None:
    """OUTCOME_RECORDED, and the row that counts against the seller where it was forced."""
    deal = run.deal
    run.chain.append(
        "OUTCOME_RECORDED",
        run.by,
        {"outcome": outcome, "seller": shown_seller(deal), "buyer": shown_buyer(deal)},
        counterparty_id=run.other(),
    )
    if bad and deal.seller_id is not None:
        run.books.writes.bad_outcomes.append(
            BadOutcome(
                deal_id=deal.deal_id,
                agent_id=deal.seller_id,
                asset=deal.asset,
                outcome=outcome,
                at=run.ctx.now,
            )
        )


def refund_result(refund: Refund, deal_status: str) -> dict[str, Any]:
    """A refund as it is answered."""
    return {
        "refund_id": refund.refund_id,
        "deal_id": refund.deal_id,
        "asset": refund.asset,
        "amount_minor": refund.amount_minor,
        "source": refund.source,
        "rail": refund.rail,
        "payment_ref": refund.payment_ref,
        "state": refund.state.value,
        "dispute_id": refund.dispute_id,
        "rail_ref": refund.rail_ref,
        "status": deal_status,
        "created_at": refund.created_at,
        "updated_at": refund.updated_at,
    }
