"""Record that a rail has taken a payment back by itself.

For: the inbox job, after a rail's message was verified.
Guarantees: one chargeback per payment is booked, once; the deal's escrow gives first, then what its
payees have available, in proportion to what they still have of it, and the rest they owe. It is
counted against the payment, so the same money never goes back a second time by a refund.
Does not: take fees back: the rail's word binds the seller's side, not the house's.

Spec §5.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import (
    agent_account,
    available,
    clearing_account,
    escrow_account,
    receivable_account,
)
from settlement.core.errors import OverRefund, PayeeUnknown
from settlement.core.money import allocate
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import change_deal, get_deal, rail_actor
from settlement.core.operations.giving_back import Parts, Remains, remains_of
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
        escrow, borne = _bearers(deal, remains, self.amount_minor)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        run = refunding(state, ctx, deal, writes, rail_actor(self.rail))
        refund = self._row(run, payment, Parts(escrow=escrow, payees=borne))
        self._book(run, state, refund, escrow, borne)
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

    def _book(
        self,
        run: Refunding,
        state: State,
        refund: Refund,
        escrow: int,
        borne: tuple[tuple[str, int], ...],
    ) -> None:
        tx, to = run.books.begin(), clearing_account(self.rail)
        if escrow:
            tx.add("chargeback", escrow_account(self.deal_id), to, escrow)
        for agent_id, minor in borne:
            account = agent_account(agent_id)
            has = min(minor, available(state.accounts[account.ref, refund.asset]))
            if has:
                tx.add("chargeback", account, to, has)
            if minor - has:
                tx.add("chargeback", receivable_account(agent_id), to, minor - has)
        event = run.chain.append(
            "CHARGED_BACK",
            run.by,
            back_payload(refund, CHARGEBACK, rail_ref=self.rail_ref) | tx.facts(),
            event_id=tx.event_id,
            counterparty_id=run.deal.seller_id or run.deal.seller_label or None,
        )
        tx.book(event)
        run.books.writes.refunds_new.append(refund)


def _bearers(
    deal: Deal, remains: Remains, amount_minor: int
) -> tuple[int, tuple[tuple[str, int], ...]]:
    """The escrow, then the payees in proportion, and what nobody has is the seller's to owe."""
    has = remains.has
    escrow = min(amount_minor, has.escrow)
    rest = amount_minor - escrow
    weights = [minor for _, minor in has.payees]
    shared = min(rest, sum(weights))
    parts = allocate(shared, weights) if shared else (0,) * len(weights)
    borne = {agent: part for (agent, _), part in zip(has.payees, parts, strict=True) if part}
    if rest > shared:
        if deal.seller_id is None:
            raise PayeeUnknown(deal_id=deal.deal_id)
        borne[deal.seller_id] = borne.get(deal.seller_id, 0) + rest - shared
    return escrow, tuple(borne.items())
