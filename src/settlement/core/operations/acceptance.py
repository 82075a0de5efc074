"""The acceptance gate: work is submitted for review, and its buyer accepts or rejects it, once.

For: POST /protocol/acceptance/submit and /protocol/acceptance/{id}/accept and /reject.
Guarantees: while a review is open, and after a rejection, nothing settles; only the buyer decides,
never the seller's key; what is accepted is the scope that was submitted, because a new proof pack
ends the review. Accepting a quote approves it, at its price, like a GO.
Does not: settle, or do anything when a deadline passes.

Spec §4.3, §4.4, §6.1, contract §5.1. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.acceptance_rows import ACCEPTED, PENDING, REJECTED, Acceptance
from settlement.core.canonical import sha256_hex
from settlement.core.clock import SECOND_US, time_text
from settlement.core.deal import check_transition
from settlement.core.errors import (
    AcceptanceSuperseded,
    PartyMismatch,
    QuoteExpired,
    SelfApproval,
)
from settlement.core.events import Actor
from settlement.core.ids import AgentId
from settlement.core.keys import same_digest
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    BUYER,
    acting_id,
    add_party,
    authority_of,
    chain_of,
    change_deal,
    get_deal,
    own_key,
    role_of,
)
from settlement.core.operations.approving import (
    Approval,
    approve,
    quote_now,
    rolling_volume,
    volume_key,
)
from settlement.core.operations.keys import acceptance_key
from settlement.core.rows import DealState
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.fees import FeeQuote
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal

ACCEPT: Final = "accept"
REJECT: Final = "reject"
_EVENTS: Final = {ACCEPT: "ACCEPTED", REJECT: "REJECTED"}
_STATUS: Final = {ACCEPT: ACCEPTED, REJECT: REJECTED}


def acceptance_view(one: Acceptance) -> dict[str, Any]:
    """An acceptance as answered."""
    return {
        "acceptance_id": one.acceptance_id,
        "deal_id": one.deal_id,
        "status": one.status,
        "downstream_action": one.downstream_action,
        "submitted_by": one.submitted_by,
        "proof_hash": one.proof_hash,
        "scope_lock_hash": one.scope_lock_hash,
        "review_deadline": one.review_deadline,
        "reviewer_id": one.reviewer_id,
        "reason": one.reason,
        "checks_passed": json.loads(one.checks_passed),
        "checks_failed": json.loads(one.checks_failed),
        "created_at": one.created_at,
        "decided_at": one.decided_at,
    }


def names_nobody(deal: Deal, principal: Principal) -> bool:
    """Tell whether the deal has no buyer yet, so far as this caller is concerned.

    A label that is no agent's id is a word somebody wrote down; it keeps nobody out.
    """
    if deal.buyer_id is not None or is_buyer(deal, principal):
        return False
    return not deal.buyer_label.startswith(AgentId.prefix)


def is_buyer(deal: Deal, principal: Principal) -> bool:
    """The bound buyer's own key, or the one of the agent that an unkeyed call named as buyer.

    Named by its id: a registered name is free text, and anybody may register the buyer's.
    """
    own = own_key(principal)
    if own is None:
        return False
    return own == (deal.buyer_id if deal.buyer_id is not None else deal.buyer_label)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitAcceptance:
    """Ask the buyer to look. A review that is open already, or decided, is the answer."""

    name: ClassVar[str] = "submit_acceptance"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    downstream_action: str = "settle"
    review_seconds: int | None = None

    def call(self) -> Call:
        """A deal has one review at a time by itself; only a sent key is remembered."""
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
        """Deal, what follows and by when."""
        return {
            "deal_id": self.deal_id,
            "downstream_action": self.downstream_action,
            "review_seconds": self.review_seconds,
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """The review there is."""
        deal = state.deals[self.deal_id]
        known = deal.acceptance_id if deal is not None else None
        return Needs(acceptances=(known,) if known is not None else ())

    def decide(self, state: State, ctx: Context) -> Decision:
        """Open a review with ACCEPTANCE_PENDING."""
        # 9 existence, 10 party
        deal = get_deal(state, self.deal_id)
        self._check_party(deal, ctx)
        if deal.acceptance_id is not None:
            known = state.acceptances[deal.acceptance_id]
            assert known is not None, "a deal's review exists"
            return Decision(result=self._result(known, opened=False), writes=WriteSet())
        # 11 state
        check_transition(deal, self.name)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        chain = chain_of(deal, ctx, writes)
        by = Actor(
            actor_id=acting_id(self.principal, None),
            authority=authority_of(self.principal),
            role=role_of(deal, own_key(self.principal)),
        )
        seconds = self.review_seconds
        made = Acceptance(
            acceptance_id=ctx.ids.new("acc_"),
            deal_id=deal.deal_id,
            downstream_action=self.downstream_action,
            status=PENDING,
            submitted_by=by.actor_id,
            proof_hash=deal.proof_hash,
            scope_lock_hash=deal.scope_lock_hash,
            review_deadline=time_text(ctx.now_us + seconds * SECOND_US) if seconds else None,
            reviewer_id=None,
            reason=None,
            checks_passed="[]",
            checks_failed="[]",
            created_at=ctx.now,
            decided_at=None,
        )
        chain.append("ACCEPTANCE_PENDING", by, {"acceptance_id": made.acceptance_id})
        writes.acceptances_new.append(made)
        pending = {"acceptance_id": made.acceptance_id, "acceptance_state": PENDING}
        change_deal(writes, deal, chain, ctx.now, **pending)
        return Decision(result=self._result(made, opened=True), writes=writes)

    def _check_party(self, deal: Deal, ctx: Context) -> None:
        """Seller, buyer or operator: a review stops the settle, which is no stranger's business."""
        own = own_key(self.principal)
        if self.principal.is_operator or own == deal.seller_id or is_buyer(deal, self.principal):
            return
        nobodys = deal.seller_id is None or names_nobody(deal, self.principal)
        if not (ctx.rules.sandbox and nobodys):
            raise PartyMismatch(deal_id=deal.deal_id)

    def _result(self, one: Acceptance, *, opened: bool) -> dict[str, Any]:
        return {"deal_id": one.deal_id, "acceptance": acceptance_view(one), "opened": opened}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideAcceptance:
    """The buyer's word on a review: `decision` is accept or reject."""

    name: ClassVar[str] = "acceptance"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    acceptance_id: str
    decision: str
    reason: str = ""
    checks_passed: tuple[str, ...] = ()
    checks_failed: tuple[str, ...] = ()
    quote_id: str | None = None  # shows, where nobody is bound yet, that the caller was offered it

    def call(self) -> Call:
        """Once per review, whatever is decided: accept and reject share the claim."""
        return Call(
            principal=self.principal,
            operation=self.name,
            sent_key=self.sent_key,
            derived=acceptance_key(self.deal_id, self.acceptance_id),
            deal_id=self.deal_id,
        )

    def footprint(self) -> Footprint:
        """The deal."""
        return Footprint(deals=(self.deal_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """What was decided and why."""
        return {
            "deal_id": self.deal_id,
            "acceptance_id": self.acceptance_id,
            "decision": self.decision,
            "reason": self.reason,
            "checks_passed": list(self.checks_passed),
            "checks_failed": list(self.checks_failed),
        }

    def needs(self, state: State, ctx: Context) -> Needs:
        """The review, and the seller's volume if accepting approves."""
        deal = state.deals[self.deal_id]
        if deal is None:
            return Needs()
        seller_id = deal.seller_id
        return Needs(
            acceptances=(self.acceptance_id,),
            volumes=() if seller_id is None else (volume_key(seller_id, deal.asset, ctx),),
        )

    def decide(self, state: State, ctx: Context) -> Decision:
        """Write the decision; accepting a quote appends GO_APPROVED first."""
        # 9 existence
        deal = get_deal(state, self.deal_id)
        review = state.acceptances[self.acceptance_id]
        assert review is not None, "the edge found the deal by its review"
        # 10 party
        self._check_party(deal, ctx)
        # 11 state
        check_transition(deal, self.decision)
        if deal.acceptance_id != self.acceptance_id:
            raise AcceptanceSuperseded(acceptance_id=self.acceptance_id)
        # 12 amount, fee
        quote = self._quote(state, deal, ctx)

        # ---- point of no return: construction and asserts only
        own = own_key(self.principal)
        assert own is not None, "only a key decides"
        assert review.scope_lock_hash == deal.scope_lock_hash, "a new pack ends the review"
        writes = WriteSet()
        chain = chain_of(deal, ctx, writes)
        by = Actor(actor_id=own, authority="key", role=BUYER)
        changes: dict[str, Any] = {"acceptance_state": _STATUS[self.decision]}
        if self.decision == ACCEPT:
            changes |= {"buyer_id": own, "buyer_label": own}
            add_party(writes, deal.deal_id, own, BUYER)
        if quote is not None:
            approval = Approval(by=by, quote=quote, buyer_id=own, buyer_label=own)
            changes |= approve(chain, deal, approval)
        chain.append(
            _EVENTS[self.decision],
            by,
            {
                "acceptance_id": self.acceptance_id,
                "reason": self.reason,
                "reason_hash": sha256_hex(self.reason),
            },
            counterparty_id=deal.seller_id or deal.seller_label or None,
        )
        decided = replace(
            review,
            status=_STATUS[self.decision],
            reviewer_id=own,
            reason=self.reason,
            checks_passed=json.dumps(list(self.checks_passed)),
            checks_failed=json.dumps(list(self.checks_failed)),
            decided_at=ctx.now,
        )
        writes.acceptances_changed.append(decided)
        changed = change_deal(writes, deal, chain, ctx.now, **changes)
        result = {
            "deal_id": deal.deal_id,
            "asset": deal.asset,
            "acceptance": acceptance_view(decided),
            "downstream_triggered": self.decision == ACCEPT,
            "amount_minor": changed.gross_minor,
            "status": changed.state.value,
            "events_emitted": list(chain.types),
        }
        return Decision(result=result, writes=writes)

    def _check_party(self, deal: Deal, ctx: Context) -> None:
        own = own_key(self.principal)
        if own is not None and own == deal.seller_id:
            raise SelfApproval(deal_id=deal.deal_id)
        if is_buyer(deal, self.principal):
            return
        # Nobody is named: in sandbox any key may be the buyer; live, one who was shown the quote.
        may_come = ctx.rules.sandbox or (
            self.quote_id is not None and same_digest(deal.quote_digest, sha256_hex(self.quote_id))
        )
        if own is None or not names_nobody(deal, self.principal) or not may_come:
            raise PartyMismatch(deal_id=deal.deal_id)

    def _quote(self, state: State, deal: Deal, ctx: Context) -> FeeQuote | None:
        """The fee, if accepting approves: at the quoted price, while the quote is open."""
        if self.decision == REJECT or deal.state is not DealState.PROOF_READY:
            return None
        if deal.quote_expires_at <= ctx.now:
            raise QuoteExpired(deal_id=deal.deal_id, expired_at=deal.quote_expires_at)
        volume_minor = rolling_volume(state, deal.seller_id, deal.asset, ctx)
        return quote_now(deal, deal.price_minor, volume_minor, ctx)
