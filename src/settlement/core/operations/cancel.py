"""Cancel: a deal that has no money ends without any.

For: POST /protocol/deals/{id}/cancel, by a party's key or an operator.
Guarantees: nothing that was paid is stranded in a cancelled deal.
Does not: give money back; a refund does. An intent that waits for bids ends with its deal: none is
taken any more, and its close opens nothing (spec §13).

Spec §4.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import escrow_account
from settlement.core.deal import check_transition
from settlement.core.errors import DealHasMoney, PartyMismatch
from settlement.core.events import Actor
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    acting_id,
    authority_of,
    chain_of,
    change_deal,
    get_deal,
    own_key,
    role_of,
    shown_buyer,
    shown_seller,
)
from settlement.core.operations.keys import once_per_deal
from settlement.core.rows import DealState
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """End a deal before any money has come."""

    name: ClassVar[str] = "cancel"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    reason_hash: str | None = None

    def call(self) -> Call:
        """Once per deal."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            derived=once_per_deal(self.deal_id, self.name),
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """The deal."""
        return {"deal_id": self.deal_id}

    def needs(self, state: State, ctx: Context) -> Needs:
        """Its escrow."""
        deal = state.deals[self.deal_id]
        if deal is None:
            return Needs()
        return Needs(accounts=((escrow_account(self.deal_id).ref, deal.asset),))

    def decide(self, state: State, ctx: Context) -> Decision:
        """Append DEAL_CANCELLED."""
        # 9 existence, 10 party, 11 state
        deal = get_deal(state, self.deal_id)
        role = role_of(deal, own_key(self.principal))
        if role is None and not self.principal.is_operator:
            raise PartyMismatch(deal_id=deal.deal_id)
        check_transition(deal, self.name)
        escrow = state.accounts[escrow_account(deal.deal_id).ref, deal.asset]
        held = escrow.credits_posted - escrow.debits_posted if escrow is not None else 0
        if held:
            raise DealHasMoney(deal_id=deal.deal_id, held_minor=held)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        chain = chain_of(deal, ctx, writes)
        by = Actor(
            actor_id=acting_id(self.principal, None),
            authority=authority_of(self.principal),
            role=role or "operator",
        )
        reason = {"reason_hash": self.reason_hash} if self.reason_hash is not None else {}
        other = shown_buyer(deal) if by.actor_id == deal.seller_id else shown_seller(deal)
        chain.append("DEAL_CANCELLED", by, {**reason}, counterparty_id=other or None)
        change_deal(writes, deal, chain, ctx.now, state=DealState.CANCELLED)
        result = {"deal_id": deal.deal_id, "status": DealState.CANCELLED.value}
        return Decision(result=result, writes=writes)
