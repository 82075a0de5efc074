"""Ask for a payee's net of a deal to be paid out to a rail.

For: POST /protocol/payouts.
Guarantees: one payout per deal and payee, the whole net less what went back and what the payee
owes, which is recovered first; held before the rail is called; after a proven refusal it may be
asked for again.
Does not: call the rail. What it answers is recorded by `record_payout.py`.

Spec §4.6, §6.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import agent_account, available, receivable_account
from settlement.core.deal import check_transition
from settlement.core.errors import (
    Disputed,
    IllegalTransition,
    InsufficientFunds,
    NothingOwed,
    OwesMore,
    PartyMismatch,
    RefundOpen,
)
from settlement.core.events import Actor
from settlement.core.ledger import Books
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    PAYEE,
    SELLER,
    acting_id,
    authority_of,
    chain_of,
    change_deal,
    get_deal,
    own_key,
)
from settlement.core.operations.giving_back import any_open, borne_by, taken_by_ruling
from settlement.core.operations.keys import payout_key
from settlement.core.operations.paying_out import (
    Owed,
    PayoutPlanner,
    choose_target,
    payout_result,
    transit_refs,
)
from settlement.core.operations.recovering import owed_by, recover
from settlement.core.rows import DealState, EffectState, Payout
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPayout:
    """Ask for one payee's net of one deal."""

    name: ClassVar[str] = "payout"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    agent_id: str
    destination_id: str | None = None

    def call(self) -> Call:
        """Once per deal and payee: H1 with the action `payout` and `to`."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            derived=payout_key(self.deal_id, self.agent_id),
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Deal, payee and, if named, the destination."""
        named = {"deal_id": self.deal_id, "agent_id": self.agent_id}
        if self.destination_id is not None:
            named["destination_id"] = self.destination_id
        return named

    def needs(self, state: State, ctx: Context) -> Needs:
        """The settlement, the payee's account and destinations, and an earlier try."""
        deal = state.deals[self.deal_id]
        if deal is None:
            return Needs()
        refs = (
            agent_account(self.agent_id).ref,
            receivable_account(self.agent_id).ref,
            *transit_refs(ctx.rules),
        )
        return Needs(
            accounts=tuple((ref, deal.asset) for ref in refs),
            destinations=((self.agent_id, self.destination_id),),
            payouts=((self.deal_id, self.agent_id),),
            settlements=(self.deal_id,),
            parties=(self.deal_id,),
            refunds=(self.deal_id,),
            recovered=((self.deal_id, self.agent_id),),
            disputes=(self.deal_id,),
        )

    def decide(self, state: State, ctx: Context) -> Decision:
        """Hold the net and plan the effect."""
        # 9 existence
        deal = get_deal(state, self.deal_id)
        # 10 party
        owed = self._check_party(state, deal)
        # 11 state
        earlier = self._check_state(state, deal)
        assert owed is not None, "a settled deal owes its payees"
        owed = self._still_owed(state, owed)
        # 12 where to
        rows = state.destinations[self.agent_id, self.destination_id]
        target = choose_target(rows, self.agent_id, self.destination_id, ctx.rules)
        # 13 funds
        owed, debt = self._affordable(state, owed)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        chain = chain_of(deal, ctx, writes)
        books = Books(
            accounts=state.accounts, ctx=ctx, writes=writes, deal_id=deal.deal_id, asset=deal.asset
        )
        by = Actor(
            actor_id=acting_id(self.principal, None),
            authority=authority_of(self.principal),
            role="operator" if self.principal.is_operator else PAYEE,
        )
        recover(books, chain, state, self.agent_id, debt)
        planner = PayoutPlanner(ctx=ctx, books=books, chain=chain, by=by)
        payout = planner.plan(owed, target, earlier)
        change_deal(writes, deal, chain, ctx.now)
        return Decision(result=payout_result(payout), writes=writes, pending=True)

    def _check_party(self, state: State, deal: Deal) -> Owed | None:
        """The payee's own key or an operator; what the settlement owes, None before there is one.

        Raises PartyMismatch.
        """
        if not self.principal.is_operator and own_key(self.principal) != self.agent_id:
            raise PartyMismatch(deal_id=deal.deal_id)
        view = state.settlements[self.deal_id]
        if view is None:
            roles = {role for agent, role in state.parties[self.deal_id] if agent == self.agent_id}
            if not roles & {SELLER, PAYEE}:
                raise PartyMismatch(deal_id=deal.deal_id)
            return None
        for payee in view.payees:
            if payee.agent_id == self.agent_id:
                return Owed(
                    deal_id=deal.deal_id,
                    agent_id=payee.agent_id,
                    asset=deal.asset,
                    amount_minor=payee.net_minor,
                )
        raise PartyMismatch(deal_id=deal.deal_id)

    def _still_owed(self, state: State, owed: Owed) -> Owed:
        """The net less what went back; a rail's open refund may yet leave more of it."""
        refunds = state.refunds[self.deal_id]
        if any_open(refunds):
            raise RefundOpen(deal_id=self.deal_id)
        gone = borne_by(refunds, self.agent_id)
        gone += taken_by_ruling(state.disputes[self.deal_id], self.agent_id)
        left = owed.amount_minor - gone
        if left <= 0:
            raise NothingOwed(deal_id=self.deal_id, agent_id=self.agent_id)
        return replace(owed, amount_minor=left)

    def _affordable(self, state: State, owed: Owed) -> tuple[Owed, int]:
        """What can be paid once the debt is, and the debt.

        Only debts make a payout smaller, those recovered out of this deal before included. Money
        that is merely elsewhere (in a mandate, in another payout's hold) refuses it instead: there
        is one payout per deal, so what it left out could never be paid.
        """
        account, left = agent_account(self.agent_id).ref, owed.amount_minor
        debt = owed_by(state, self.agent_id, owed.asset)
        spare = available(state.accounts[account, owed.asset]) - debt
        if debt and spare <= 0:
            raise OwesMore(
                deal_id=self.deal_id, agent_id=self.agent_id, owed_minor=debt, left_minor=left
            )
        least = left - debt - state.recovered[self.deal_id, self.agent_id]
        if spare < least:
            raise InsufficientFunds(account=account, available_minor=spare, needed_minor=least)
        if not spare:
            raise NothingOwed(deal_id=self.deal_id, agent_id=self.agent_id)
        return replace(owed, amount_minor=min(left, spare)), debt

    def _check_state(self, state: State, deal: Deal) -> Payout | None:
        """A settled deal without an open or confirmed payout; returns the refused one, if any."""
        if deal.state is DealState.DISPUTED:
            raise Disputed(deal_id=deal.deal_id)
        check_transition(deal, self.name)
        payout = state.payouts[self.deal_id, self.agent_id]
        if payout is not None and payout.state != EffectState.REFUSED:
            raise IllegalTransition(
                deal_id=deal.deal_id, state=f"payout_{payout.state}", operation=self.name
            )
        return payout
