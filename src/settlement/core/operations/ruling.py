"""Resolve a dispute: an operator's share for the seller, the rest back to who paid.

For: POST /protocol/disputes/{deal}/resolve.
Guarantees: the disputed money returns to escrow and leaves it again, to the seller's side as a
settlement (before one) or a release (after one), to the payments otherwise; the payments get
exactly what they gave less what the ruling leaves the seller's side, fees included.
Does not: wait for a rail: what a rail is to give back is held in escrow until it has said.

Spec §4.4, §4.8, §15. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from settlement.core.accounts import agent_account, dispute_account, escrow_account
from settlement.core.deal import check_transition
from settlement.core.errors import BadShare, IllegalTransition, NetBelowMinimum, PartyMismatch
from settlement.core.events import Actor
from settlement.core.fees import POLICIES, split_fees
from settlement.core.money import Asset
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import (
    SELLER,
    acting_id,
    authority_of,
    change_deal,
    get_deal,
)
from settlement.core.operations.closing import Closing, closing_needs
from settlement.core.operations.dispute import dispute_result
from settlement.core.operations.giving_back import (
    Parts,
    Remains,
    remains_of,
    share_out,
    still_held,
    take_back,
)
from settlement.core.operations.keys import once_per_deal
from settlement.core.operations.refund import refund_needs, refunding
from settlement.core.operations.refunding import (
    RULING,
    Cause,
    Refunding,
    is_all_back,
    record_outcome,
    refund_result,
    take_volume,
)
from settlement.core.operations.terms import WHOLE_SHARE, Named, Terms, fix_terms
from settlement.core.refund_rows import RefundState
from settlement.core.rows import DealState
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.principal import Principal
    from settlement.core.refund_rows import Dispute, Refund
    from settlement.core.rows import Deal

WHOLE_PPM: Final = 10**6
#: A ruling that leaves the seller less than half is a dispute lost (docs/decisions/0019).
_LOST_BELOW_PPM: Final = WHOLE_PPM // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ruled:
    """What a ruling comes to, once it is certain."""

    dispute: Dispute
    remains: Remains
    seller_minor: int
    refund_minor: int
    terms: Terms | None  # before a settlement, when the seller gets anything


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveDispute:
    """Rule: so many millionths of the money are the seller's."""

    name: ClassVar[str] = "resolve_dispute"

    principal: Principal
    sent_key: str | None = None
    deal_id: str
    seller_ppm: int
    ruling_hash: str | None = None

    def call(self) -> Call:
        """Once per deal; another share for a ruled dispute is refused."""
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
        """Deal and share."""
        return {"deal_id": self.deal_id, "seller_ppm": self.seller_ppm}

    def needs(self, state: State, ctx: Context) -> Needs:
        """What giving back needs, and what closing does."""
        deal = state.deals[self.deal_id]
        back = refund_needs(deal, ctx)
        if deal is None or deal.seller_id is None:
            return back
        closing = closing_needs(deal, deal.seller_id, [deal.seller_id], ctx)
        accounts = (*back.accounts, *closing.pop("accounts"))
        return replace(back, **{**closing, "accounts": accounts})

    def decide(self, state: State, ctx: Context) -> Decision:
        """Carry the ruling out."""
        # 5 schema once more, 9 existence, 10 party, 11 state
        deal = get_deal(state, self.deal_id)
        if not self.principal.is_operator:
            raise PartyMismatch(deal_id=deal.deal_id)
        check_transition(deal, self.name)
        dispute = state.disputes[deal.deal_id]
        if dispute is None or dispute.status != "opened":
            raise IllegalTransition(
                deal_id=deal.deal_id, state="disputed and ruled on", operation=self.name
            )
        if not 0 <= self.seller_ppm <= WHOLE_PPM:
            self._refuse(f"it is not from 0 to {WHOLE_PPM}")
        # 12 amount
        ruled = self._rule(state, deal, dispute)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        by = Actor(
            actor_id=acting_id(self.principal, None),
            authority=authority_of(self.principal),
            role="operator",
        )
        run = refunding(state, ctx, deal, writes, by)
        taken = self._resolve(run, ruled)
        changes, settlement = self._settle(run, ruled)
        refunds = self._give_back(run, ruled)
        writes.disputes_changed.append(
            replace(
                dispute,
                status="resolved",
                parts=json.dumps({**json.loads(dispute.parts), "taken": json.loads(taken.text())}),
                seller_ppm=self.seller_ppm,
                ruling_hash=self.ruling_hash,
                resolved_at=ctx.now,
            )
        )
        if self.seller_ppm < _LOST_BELOW_PPM:
            record_outcome(run, "dispute_lost", bad=True)
        changes |= self._ends(run, ruled, refunds)
        changed = change_deal(writes, deal, run.chain, ctx.now, **changes)
        status = changed.state.value
        result = dispute_result(writes.disputes_changed[0]) | {
            "refunds": [refund_result(one, status) for one in refunds],
            "settlement": settlement,
            "seller_minor": ruled.seller_minor,
            "refund_minor": ruled.refund_minor,
            "status": status,
        }
        return Decision(result=result, writes=writes)

    # --- what it comes to ------------------------------------------------------------------------

    def _refuse(self, reason: str) -> None:
        raise BadShare(deal_id=self.deal_id, seller_ppm=self.seller_ppm, reason=reason)

    def _share(self, minor: int) -> int:
        return (2 * minor * self.seller_ppm + WHOLE_PPM) // (2 * WHOLE_PPM)

    def _rule(self, state: State, deal: Deal, dispute: Dispute) -> _Ruled:
        """The seller's part and the rest; raises BadShare."""
        remains = remains_of(state, deal)
        if dispute.deal_state == DealState.SETTLED:
            seller = self._share(remains.has.settled)
            # What a rail has taken back by itself cannot be given back a second time.
            refund = min(remains.has.settled - seller, remains.owed)
            return _Ruled(
                dispute=dispute,
                remains=remains,
                seller_minor=seller,
                refund_minor=refund,
                terms=None,
            )
        assert deal.gross_minor is not None, "an approved deal has its gross"
        whole = remains.has.escrow + sum(still_held(dispute).values())
        seller = self._share(min(whole, deal.gross_minor))
        return _Ruled(
            dispute=dispute,
            remains=remains,
            seller_minor=seller,
            refund_minor=whole - seller,
            terms=self._terms(deal, seller) if seller else None,
        )

    def _terms(self, deal: Deal, seller_minor: int) -> Terms | None:
        """The seller's part as a settlement under the terms that were approved."""
        if deal.seller_id is None:
            self._refuse("the deal has no registered seller who could be paid")
        assert deal.fee_policy is not None, "an approved deal has its fee policy"
        assert deal.volume_minor is not None, "an approved deal has its volume"
        payee = Named(agent_id=str(deal.seller_id), role=SELLER, share=WHOLE_SHARE)
        try:
            quote = split_fees(
                POLICIES[deal.fee_policy],
                seller_minor,
                Asset.parse(deal.asset),
                volume_minor=deal.volume_minor,
                tier=deal.tier,
            )
            return fix_terms(quote, [payee])
        except NetBelowMinimum:
            self._refuse("the seller's part would be less than its fees")
        return None

    # --- carrying it out -------------------------------------------------------------------------

    def _resolve(self, run: Refunding, ruled: _Ruled) -> Parts:
        """DISPUTE_RESOLVED: the money returns to escrow, and the payees bear their part."""
        dispute, deal = ruled.dispute, run.deal
        settled = dispute.deal_state == DealState.SETTLED
        taken = share_out(ruled.remains.has, ruled.refund_minor) if settled else Parts()
        tx = run.books.begin()
        held = still_held(dispute)
        returned = sum(held.values())
        moves = bool(returned or taken.total)
        escrow = escrow_account(deal.deal_id)
        if returned:
            tx.add("dispute_close", dispute_account(deal.deal_id), escrow, returned)
        if settled:
            rest = []
            for agent_id, minor in taken.payees:
                used = min(minor, held.get(agent_account(agent_id).ref, 0))
                rest.append((agent_id, minor - used))
            for ref, minor in held.items():
                agent_id = ref.removeprefix("entity:")
                unused = minor - min(minor, taken.of(agent_id))
                if unused:
                    tx.add("release", escrow, agent_account(agent_id), unused)
            # What an account has available was read before the release just planned.
            take_back(tx, run.state, deal, replace(taken, payees=tuple(rest)))
        self._event(run, ruled, tx if moves else None)
        return taken

    def _event(self, run: Refunding, ruled: _Ruled, tx: Any) -> None:
        payload: dict[str, Any] = {
            "dispute_id": ruled.dispute.dispute_id,
            "seller_ppm": self.seller_ppm,
            "amount_minor": sum(still_held(ruled.dispute).values()),
            "seller_minor": ruled.seller_minor,
            "refund_minor": ruled.refund_minor,
        }
        if self.ruling_hash is not None:
            payload["reason_hash"] = self.ruling_hash
        if tx is None:
            run.chain.append("DISPUTE_RESOLVED", run.by, payload, counterparty_id=run.other())
            return
        event = run.chain.append(
            "DISPUTE_RESOLVED",
            run.by,
            payload | tx.facts(),
            event_id=tx.event_id,
            counterparty_id=run.other(),
        )
        tx.book(event)

    def _settle(
        self, run: Refunding, ruled: _Ruled
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Before a settlement: the seller's part is one."""
        if ruled.terms is None:
            return {}, None
        deal = run.deal
        closing = Closing(
            state=run.state,
            ctx=run.ctx,
            books=run.books,
            chain=run.chain,
            deal=deal,
            terms=ruled.terms,
            by=run.by,
            provider=deal.funding_rail or deal.funding or "escrow",
        )
        return closing.close()

    def _give_back(self, run: Refunding, ruled: _Ruled) -> list[Refund]:
        """The rest, to the payments, newest first; the volume of a settlement falls by it."""
        if ruled.dispute.deal_state == DealState.SETTLED and ruled.refund_minor:
            take_volume(run.books, run.state, run.deal, ruled.refund_minor, run)
        found = []
        for payment, minor in ruled.remains.by_payment(ruled.refund_minor):
            cause = Cause(
                requested_by=run.by.actor_id,
                reason_code=RULING,
                obligation=f"{ruled.dispute.dispute_id}:{payment.event_id}",
                reason_hash=self.ruling_hash,
                dispute_id=ruled.dispute.dispute_id,
            )
            found.append(run.plan(payment, Parts(escrow=minor), cause))
        return found

    def _ends(self, run: Refunding, ruled: _Ruled, refunds: list[Refund]) -> dict[str, Any]:
        """Settled where anything is left of a settlement; else refunded, once all has gone back."""
        if is_all_back(run.state, run.deal, refunds):
            record_outcome(run, "refunded")
            return {"state": DealState.REFUNDED}
        if ruled.terms is not None or ruled.dispute.deal_state == DealState.SETTLED:
            return {"state": DealState.SETTLED}
        pending = [one for one in refunds if one.state is not RefundState.CONFIRMED]
        assert pending, "what is not back yet waits for a rail"
        return {}
