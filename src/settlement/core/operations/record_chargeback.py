"""Record that a rail has taken a payment back by itself.

For: the inbox job, after a rail's message was verified.
Guarantees: one chargeback per payment is booked, once; the deal's escrow gives first, then its
payees, in proportion to what they still have of it: what an open dispute holds of theirs, then what
they have available, and the rest they owe. It is counted against the payment, so the same money
never goes back a second time by a refund or a ruling.
Does not: take fees back: the rail's word binds the seller's side, not the house's.

Spec §5.4. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import (
    agent_account,
    available,
    clearing_account,
    dispute_account,
    escrow_account,
    receivable_account,
)
from settlement.core.errors import OverRefund, PayeeUnknown
from settlement.core.money import allocate
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import change_deal, get_deal, rail_actor
from settlement.core.operations.giving_back import (
    Parts,
    Remains,
    read_parts,
    remains_of,
    still_held,
)
from settlement.core.operations.refund import refund_needs, refunding
from settlement.core.operations.refunding import (
    back_payload,
    record_outcome,
    refund_result,
)
from settlement.core.refund_rows import Refund, RefundKind, RefundState
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.operations.refunding import Refunding
    from settlement.core.principal import Principal
    from settlement.core.refund_rows import PaymentIn
    from settlement.core.rows import Deal

CHARGEBACK = "chargeback"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChargeback:
    """Money that the payer's bank took back; `rail_ref` is the rail's name of the payment."""

    name: ClassVar[str] = "record_chargeback"

    principal: Principal  # the system
    deal_id: str
    amount_minor: int
    rail: str
    rail_ref: str
    message_id: str

    def call(self) -> Call:
        """One payment, one chargeback."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=f"{self.rail}:chargeback:{self.rail_ref}",
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """What was taken."""
        return {
            "deal_id": self.deal_id,
            "amount_minor": self.amount_minor,
            "rail": self.rail,
            "rail_ref": self.rail_ref,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """All that got money of the deal, and what the seller may come to owe."""
        deal = state.deals[self.deal_id]
        needs = refund_needs(deal, ctx)
        if deal is None or deal.seller_id is None:
            return needs
        refs = (agent_account(deal.seller_id).ref, receivable_account(deal.seller_id).ref)
        return Needs(
            money_of=needs.money_of,
            settlements=needs.settlements,
            accounts=tuple((ref, deal.asset) for ref in refs),
            volumes=needs.volumes,
        )

    def decide(self, state: State, ctx: Context) -> Decision:
        """Book the chargeback with CHARGED_BACK."""
        # 9 existence
        deal = get_deal(state, self.deal_id)
        # 12 amount: no more than what is left of that payment
        remains = remains_of(state, deal)
        payment = self._payment(deal, remains)
        dispute = state.disputes[deal.deal_id]
        held = still_held(dispute)
        parts = _bearers(deal, remains, self.amount_minor, held)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        run = refunding(state, ctx, deal, writes, rail_actor(self.rail))
        refund = self._row(run, payment, parts)
        # A dispute's money is this deal's own: left there, a ruling would give it to the seller.
        disputed = _disputed(held, remains, parts)
        self._book(run, state, refund, disputed)
        if dispute is not None and disputed:
            left = {ref: minor - disputed.get(ref, 0) for ref, minor in held.items()}
            writes.disputes_changed.append(replace(dispute, parts=json.dumps({"held": left})))
        run.take_volume(refund)
        record_outcome(run, "dispute_lost", bad=True)
        changed = change_deal(writes, deal, run.chain, ctx.now)
        result = refund_result(refund, changed.state.value) | {"message_id": self.message_id}
        return Decision(result=result, writes=writes)

    def _payment(self, deal: Deal, remains: Remains) -> PaymentIn:
        for payment, left in remains.payments:
            if (payment.rail, payment.rail_ref) == (self.rail, self.rail_ref):
                if self.amount_minor <= left:
                    return payment
                raise OverRefund(
                    deal_id=deal.deal_id, amount_minor=self.amount_minor, refundable_minor=left
                )
        raise OverRefund(deal_id=deal.deal_id, amount_minor=self.amount_minor, refundable_minor=0)

    def _row(self, run: Refunding, payment: PaymentIn, parts: Parts) -> Refund:
        now = run.ctx.now
        return Refund(
            refund_id=run.ctx.ids.new("ref_"),
            deal_id=self.deal_id,
            kind=RefundKind.CHARGEBACK,
            payment_event_id=payment.event_id,
            source=payment.source,
            rail=self.rail,
            payment_ref=self.rail_ref,
            asset=run.deal.asset,
            amount_minor=self.amount_minor,
            parts=parts.text(),
            holds="[]",
            state=RefundState.CONFIRMED,
            effect_id=None,
            dispute_id=None,
            requested_by=f"rail:{self.rail}",
            reason_hash=None,
            rail_ref=self.rail_ref,
            refusal=None,
            created_at=now,
            updated_at=now,
        )

    def _book(self, run: Refunding, state: State, refund: Refund, disputed: dict[str, int]) -> None:
        tx, to = run.books.begin(), clearing_account(self.rail)
        parts, escrow = read_parts(refund.parts), escrow_account(self.deal_id)
        returned = sum(disputed.values())
        if returned:
            tx.add("dispute_close", dispute_account(self.deal_id), escrow, returned)
        from_payees = returned - disputed.get(escrow.ref, 0)
        if parts.escrow + from_payees:
            tx.add("chargeback", escrow, to, parts.escrow + from_payees)
        for agent_id, minor in parts.payees:
            account = agent_account(agent_id)
            rest = minor - disputed.get(account.ref, 0)
            has = min(rest, available(state.accounts[account.ref, refund.asset]))
            if has:
                tx.add("chargeback", account, to, has)
            if rest - has:
                tx.add("chargeback", receivable_account(agent_id), to, rest - has)
        event = run.chain.append(
            "CHARGED_BACK",
            run.by,
            back_payload(refund, CHARGEBACK, rail_ref=self.rail_ref) | tx.facts(),
            event_id=tx.event_id,
            counterparty_id=run.deal.seller_id or run.deal.seller_label or None,
        )
        tx.book(event)
        run.books.writes.refunds_new.append(refund)


def _disputed(held: dict[str, int], remains: Remains, parts: Parts) -> dict[str, int]:
    """What of a chargeback an open dispute gives, by the account it was taken from."""
    wanted = {agent_account(agent_id).ref: minor for agent_id, minor in parts.payees}
    missing = parts.escrow - min(parts.escrow, remains.has.escrow)
    found = {ref: min(minor, wanted.get(ref, missing)) for ref, minor in held.items()}
    return {ref: minor for ref, minor in found.items() if minor}


def _bearers(deal: Deal, remains: Remains, amount_minor: int, held: dict[str, int]) -> Parts:
    """The escrow, then the payees in proportion, and what nobody has is the seller's to owe."""
    has = remains.has
    disputed = held.get(escrow_account(deal.deal_id).ref, 0)
    escrow = min(amount_minor, has.escrow + disputed)
    rest = amount_minor - escrow
    weights = [minor for _, minor in has.payees]
    shared = min(rest, sum(weights))
    parts = allocate(shared, weights) if shared else (0,) * len(weights)
    borne = {agent: part for (agent, _), part in zip(has.payees, parts, strict=True) if part}
    if rest > shared:
        if deal.seller_id is None:
            raise PayeeUnknown(deal_id=deal.deal_id)
        borne[deal.seller_id] = borne.get(deal.seller_id, 0) + rest - shared
    return Parts(escrow=escrow, payees=tuple(borne.items()))
