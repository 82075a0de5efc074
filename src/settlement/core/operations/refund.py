"""Refund: give money back to the payment it came from.

For: POST /protocol/deals/{id}/refund, by the seller's key or an operator.
Guarantees: never more than that payment gave, over all partial refunds, whose number has an end;
not while a payout of the deal is open; a rail's refund holds every leg until the rail has said.
Does not: call a rail. What it answers is recorded by `record_refund.py`.

Spec §4.4, §5.4, §6.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.accounts import agent_account, available
from settlement.core.canonical import framed_hash
from settlement.core.deal import check_transition
from settlement.core.errors import (
    Disputed,
    OverRefund,
    PartyMismatch,
    PayoutOpen,
    RefundNeedsOperator,
    RefundOpen,
    RefundsSpent,
)
from settlement.core.events import Actor
from settlement.core.ledger import Books
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    SELLER,
    acting_id,
    authority_of,
    chain_of,
    change_deal,
    get_deal,
    own_key,
    role_of,
)
from settlement.core.operations.approving import volume_key
from settlement.core.operations.giving_back import (
    OPEN_PAYOUTS,
    Parts,
    Remains,
    any_open,
    remains_of,
)
from settlement.core.operations.refunding import (
    BY_OPERATOR,
    REQUESTED,
    Cause,
    Refunding,
    ended,
    refund_result,
)
from settlement.core.refund_rows import RefundKind, RefundState
from settlement.core.rows import DealState
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.refund_rows import PaymentIn
    from settlement.core.rows import Deal

#: Every refund reads those before it, inside the one committer, so their number has an end.
REFUNDS_MAX: Final = 100
#: Payments may go back whole beyond that, but a rail that refuses each time is not asked for ever.
_REFUNDS_WHOLE_MAX: Final = 2 * REFUNDS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Give back an amount, or all that can go back to the newest payment."""

    name: ClassVar[str] = "refund"

    principal: Principal
    sent_key: str  # always: nothing else tells a repeat from a second refund
    deal_id: str
    amount_minor: int | None = None
    reason_hash: str | None = None

    def call(self) -> Call:
        """As often as there are keys."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Deal, amount and reason, as named."""
        named = {"deal_id": self.deal_id, "amount_minor": self.amount_minor}
        named |= {"reason_hash": self.reason_hash}
        return {name: value for name, value in named.items() if value is not None}

    def needs(self, state: State, ctx: Context) -> Needs:
        """All that gave or got money of the deal, and the seller's volume."""
        return refund_needs(state.deals[self.deal_id], ctx)

    def decide(self, state: State, ctx: Context) -> Decision:
        """Plan the refund of one payment."""
        # 9 existence, 10 party
        deal = get_deal(state, self.deal_id)
        if not self.principal.is_operator and role_of(deal, own_key(self.principal)) != SELLER:
            raise PartyMismatch(deal_id=deal.deal_id)
        # 11 state
        self._check_state(state, deal)
        # 12 amount
        remains = remains_of(state, deal)
        payment, parts = self._choose(deal, remains)
        self._check_count(state, deal, whole=remains.newest() == (payment, parts.total))
        # 13 funds
        self._check_funds(state, deal, parts)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        run = refunding(state, ctx, deal, writes, self._actor())
        reason_code = self._reason_code()
        call = self.call()
        refund = run.plan(
            payment,
            parts,
            Cause(
                requested_by=acting_id(self.principal, None),
                reason_code=reason_code,
                reason_hash=self.reason_hash,
                obligation=framed_hash("refund-claim", call.principal.id, self.sent_key),
                claim=(call.principal.id, self.name, self.sent_key),
            ),
        )
        changes: dict[str, Any] = {}
        if refund.state is RefundState.CONFIRMED:
            changes = ended(run, refund, reason_code)
        changed = change_deal(writes, deal, run.chain, ctx.now, **changes)
        pending = refund.state is not RefundState.CONFIRMED
        return Decision(
            result=refund_result(refund, changed.state.value), writes=writes, pending=pending
        )

    def _reason_code(self) -> str:
        return BY_OPERATOR if self.principal.is_operator else REQUESTED

    def _actor(self) -> Actor:
        return Actor(
            actor_id=acting_id(self.principal, None),
            authority=authority_of(self.principal),
            role="operator" if self.principal.is_operator else SELLER,
        )

    def _check_state(self, state: State, deal: Deal) -> None:
        dispute = state.disputes[deal.deal_id]
        if deal.state is DealState.DISPUTED:
            # A ruling that a rail refused to carry out is carried out by asking again.
            ruled = dispute is not None and dispute.status == "resolved"
            if not (ruled and self.principal.is_operator):
                raise Disputed(deal_id=deal.deal_id)
            if any_open(state.refunds[deal.deal_id]):
                raise RefundOpen(deal_id=deal.deal_id)
            return
        check_transition(deal, self.name)
        for payout in state.payouts_of[deal.deal_id]:
            if payout.state in OPEN_PAYOUTS:
                raise PayoutOpen(
                    deal_id=deal.deal_id, payout_id=payout.payout_id, state=payout.state
                )

    def _check_count(self, state: State, deal: Deal, *, whole: bool) -> None:
        """A seller's refunds have a number; whoever must give back more is not barred by it."""
        asked = [
            one
            for one in state.refunds[deal.deal_id]
            if one.kind is RefundKind.REFUND and one.dispute_id is None
        ]
        most = _REFUNDS_WHOLE_MAX if whole else REFUNDS_MAX
        if not self.principal.is_operator and len(asked) >= most:
            raise RefundsSpent(deal_id=deal.deal_id, refunds=len(asked), refunds_max=REFUNDS_MAX)

    def _check_funds(self, state: State, deal: Deal, parts: Parts) -> None:
        """A seller gives back what is there; only an operator may let somebody owe it.

        Otherwise whoever is paid out and then refunds has been paid twice, out of our pocket, and a
        debt of an agent that never earns again is collected by nobody.
        """
        if self.principal.is_operator:
            return
        for agent_id, minor in parts.payees:
            account = state.accounts[agent_account(agent_id).ref, deal.asset]
            if available(account) < minor:
                raise RefundNeedsOperator(deal_id=deal.deal_id)

    def _choose(self, deal: Deal, remains: Remains) -> tuple[PaymentIn, Parts]:
        """Which payment, how much and from whom; raises OverRefund."""
        chosen = remains.newest()
        most = chosen[1] if chosen is not None else 0
        amount_minor = self.amount_minor or most
        if chosen is None or amount_minor > most:
            raise OverRefund(
                deal_id=deal.deal_id,
                amount_minor=self.amount_minor or 0,
                refundable_minor=most,
            )
        return chosen[0], remains.divide(amount_minor)


def refund_needs(deal: Deal | None, ctx: Context) -> Needs:
    """What giving money back reads: named by deal, since who got of it is known to the store."""
    if deal is None:
        return Needs()
    seller = deal.seller_id
    return Needs(
        money_of=(deal.deal_id,),
        settlements=(deal.deal_id,),
        accounts=((agent_account(seller).ref, deal.asset),) if seller else (),
        volumes=(volume_key(seller, deal.asset, ctx),) if seller else (),
    )


def refunding(state: State, ctx: Context, deal: Deal, writes: WriteSet, by: Actor) -> Refunding:
    """The usual way to begin a decision that gives money back."""
    books = Books(
        accounts=state.accounts, ctx=ctx, writes=writes, deal_id=deal.deal_id, asset=deal.asset
    )
    chain = chain_of(deal, ctx, writes)
    return Refunding(state=state, ctx=ctx, books=books, chain=chain, deal=deal, by=by)
