"""Open a dispute: the money of a deal waits for a ruling, and payouts stop.

For: POST /protocol/disputes/{deal}/open, by the buyer's or the seller's own key.
Guarantees: one dispute in the life of a deal; what was in escrow, or what the payees still have of
their nets, is on the deal's dispute account from then on, and nobody else's money is.
Does not: rule. `ruling.py` does.

Spec §4.4, §4.8. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.accounts import agent_account, available, dispute_account, escrow_account
from settlement.core.clock import DAY_US, parse_time
from settlement.core.deal import check_transition
from settlement.core.errors import (
    DisputeWindowClosed,
    IllegalTransition,
    PartyMismatch,
    RefundOpen,
)
from settlement.core.events import Actor
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    SELLER,
    acting_id,
    authority_of,
    change_deal,
    get_deal,
    own_key,
    role_of,
)
from settlement.core.operations.giving_back import any_open, remains_of
from settlement.core.operations.keys import once_per_deal
from settlement.core.operations.refund import refund_needs, refunding
from settlement.core.refund_rows import Dispute
from settlement.core.rows import DealState
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.operations.refunding import Refunding
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal

WINDOW_DAYS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDispute:
    """Ask for a ruling on a deal."""

    name: ClassVar[str] = "dispute"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    claimant_id: str | None = None
    respondent_id: str | None = None
    reason_hash: str | None = None

    def call(self) -> Call:
        """Once per deal: H1 with the action `dispute`."""
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
        """The deal: a second dispute of it is a repeat, whoever opens it."""
        return {"deal_id": self.deal_id}

    def needs(self, state: State, ctx: Context) -> Needs:
        """All that got money of the deal."""
        return refund_needs(state.deals[self.deal_id], ctx)

    def decide(self, state: State, ctx: Context) -> Decision:
        """Move the money to the dispute account."""
        # 9 existence, 10 party, 11 state
        deal = get_deal(state, self.deal_id)
        claimant = own_key(self.principal) or self.claimant_id
        role = role_of(deal, claimant)
        if role is None or claimant is None:
            raise PartyMismatch(deal_id=deal.deal_id)
        self._check_state(state, deal, ctx)
        parts = _disputed(state, deal)
        if deal.state is DealState.GO_APPROVED and not parts:
            state_text = f"{deal.state.value} without money"
            raise IllegalTransition(
                deal_id=deal.deal_id, state=state_text, operation="open_dispute"
            )

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        by = Actor(
            actor_id=acting_id(self.principal, claimant),
            authority=authority_of(self.principal),
            role=role,
        )
        run = refunding(state, ctx, deal, writes, by)
        other = deal.buyer_id if role == SELLER else deal.seller_id
        dispute = Dispute(
            dispute_id=ctx.ids.new("dsp_"),
            deal_id=deal.deal_id,
            claimant_id=claimant,
            respondent_id=self.respondent_id or other,
            reason_hash=self.reason_hash,
            status="opened",
            deal_state=deal.state.value,
            asset=deal.asset,
            amount_minor=sum(parts.values()),
            parts=json.dumps({"held": parts}),
            seller_ppm=None,
            ruling_hash=None,
            opened_at=ctx.now,
            resolved_at=None,
        )
        writes.disputes_new.append(dispute)
        _append(run, dispute, parts)
        change_deal(writes, deal, run.chain, ctx.now, state=DealState.DISPUTED)
        result = dispute_result(dispute) | {"status": DealState.DISPUTED.value}
        return Decision(result=result, writes=writes)

    def _check_state(self, state: State, deal: Deal, ctx: Context) -> None:
        check_transition(deal, "open_dispute")
        if any_open(state.refunds[deal.deal_id]):
            raise RefundOpen(deal_id=deal.deal_id)
        settled_at = deal.settled_at
        if settled_at is not None and ctx.now_us - parse_time(settled_at) > WINDOW_DAYS * DAY_US:
            raise DisputeWindowClosed(deal_id=deal.deal_id, settled_at=settled_at, days=WINDOW_DAYS)


def _disputed(state: State, deal: Deal) -> dict[str, int]:
    """What moves, by account: the escrow, or what each payee has of its net."""
    remains = remains_of(state, deal)
    if deal.state is DealState.GO_APPROVED:
        escrow = remains.has.escrow
        return {escrow_account(deal.deal_id).ref: escrow} if escrow else {}
    found = {}
    for agent_id, net in remains.has.payees:
        ref = agent_account(agent_id).ref
        minor = min(net, available(state.accounts[ref, deal.asset]))
        if minor:
            found[ref] = minor
    return found


def _append(run: Refunding, dispute: Dispute, parts: dict[str, int]) -> None:
    """DISPUTE_OPENED, with its tx where any money moves."""
    payload: dict[str, Any] = {
        "dispute_id": dispute.dispute_id,
        "claimant": dispute.claimant_id,
        "amount_minor": dispute.amount_minor,
    }
    if dispute.reason_hash is not None:
        payload["reason_hash"] = dispute.reason_hash
    if not parts:
        run.chain.append("DISPUTE_OPENED", run.by, payload, counterparty_id=run.other())
        return
    tx = run.books.begin()
    to = dispute_account(dispute.deal_id)
    escrow = escrow_account(dispute.deal_id)
    for ref, minor in parts.items():
        source = escrow if ref == escrow.ref else agent_account(ref.removeprefix("entity:"))
        tx.add("dispute_open", source, to, minor)
    event = run.chain.append(
        "DISPUTE_OPENED",
        run.by,
        payload | tx.facts(),
        event_id=tx.event_id,
        counterparty_id=run.other(),
    )
    tx.book(event)


def dispute_result(dispute: Dispute) -> dict[str, Any]:
    """A dispute as it is answered."""
    shown = {
        "dispute_id": dispute.dispute_id,
        "deal_id": dispute.deal_id,
        "status": dispute.status,
        "claimant_id": dispute.claimant_id,
        "respondent_id": dispute.respondent_id,
        "amount_minor": dispute.amount_minor,
        "reason_hash": dispute.reason_hash,
        "seller_ppm": dispute.seller_ppm,
        "ruling_hash": dispute.ruling_hash,
        "opened_at": dispute.opened_at,
        "resolved_at": dispute.resolved_at,
    }
    return {"deal_id": dispute.deal_id, "asset": dispute.asset, "dispute": shown}
