"""Record what the rail answered to a settle's charge, and finish that settle.

For: the effect job, after it called or asked the rail.
Guarantees: confirmed money is booked and the deal settled in one commit; a refusal returns the deal
to go_approved; a silent rail changes the effect's state only. A stale fence records nothing.
Does not: call the rail.

Spec §4.5 case 3, §6.4. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.accounts import clearing_account
from settlement.core.errors import LeaseLost, PaymentRefused
from settlement.core.events import Actor
from settlement.core.ledger import Books
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import chain_of, change_deal, get_deal, rail_actor
from settlement.core.operations.answering import answered, check_effect, finish_claim
from settlement.core.operations.closing import Closing, closing_needs
from settlement.core.operations.outcome import error_outcome, result_outcome
from settlement.core.operations.terms import terms_from_plan
from settlement.core.rows import DealState, EffectKind
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import WriteSet

if TYPE_CHECKING:
    from settlement.core.operations.outcome import RailOutcome
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal, Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCharge:
    """A rail's answer about a charge."""

    name: ClassVar[str] = "record_charge"

    principal: Principal  # the system
    effect_id: str
    deal_id: str
    fence: int
    outcome: RailOutcome

    def call(self) -> Call:
        """No keys: fence and state of the effect make it happen once."""
        return Call(principal=self.principal, operation=self.name, deal_id=self.deal_id)

    def footprint(self) -> Footprint:
        """The deal, then the effect."""
        return Footprint(deals=(self.deal_id,), effects=(self.effect_id,))

    def args(self, deal: Deal | None) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def needs(self, state: State, ctx: Context) -> Needs:
        """What the settle would have needed, plus clearing."""
        deal, effect = state.deals[self.deal_id], state.effects[self.effect_id]
        if deal is None or effect is None or effect.kind != EffectKind.CHARGE:
            return Needs()
        terms = terms_from_plan(json.loads(effect.plan)["terms"])
        payees = [part.agent_id for part in terms.parts]
        return Needs(**closing_needs(deal, deal.seller_id, payees, ctx, rails=(effect.rail,)))

    def decide(self, state: State, ctx: Context) -> Decision:
        """Settle, return to go_approved, or note the silence."""
        # 11 state: only the effect as its caller left it may be answered
        effect = check_effect(state, self, EffectKind.CHARGE)
        deal = get_deal(state, self.deal_id)
        if deal.state is not DealState.SETTLING:
            raise LeaseLost(name=self.effect_id)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        writes.effects_changed.append(answered(effect, self.outcome, ctx.now))
        if self.outcome.state == "confirmed":
            deal = self._settle(state, ctx, deal, effect, writes)
        elif self.outcome.state == "refused":
            deal = self._refuse(ctx, deal, effect, writes)
        result = {
            "effect_id": self.effect_id,
            "deal_id": deal.deal_id,
            "state": self.outcome.state,
            "status": deal.state.value,
        }
        return Decision(result=result, writes=writes)

    def _settle(
        self, state: State, ctx: Context, deal: Deal, effect: Effect, writes: WriteSet
    ) -> Deal:
        plan = json.loads(effect.plan)
        books = Books(
            accounts=state.accounts, ctx=ctx, writes=writes, deal_id=deal.deal_id, asset=deal.asset
        )
        chain = chain_of(deal, ctx, writes)
        chain.types.extend(plan["events"])  # what the asking itself appended
        closing = Closing(
            state=state,
            ctx=ctx,
            books=books,
            chain=chain,
            deal=deal,
            terms=terms_from_plan(plan["terms"]),
            by=Actor(**plan["by"]),
            provider=plan["provider"],
        )
        assert closing.terms.gross_minor == deal.gross_minor == effect.amount_minor
        closing.authorize(
            "charge", clearing_account(effect.rail), rail_actor(effect.rail), self.outcome.rail_ref
        )
        closed, result = closing.close()
        writes.claims_finished.append(finish_claim(effect, result_outcome(result), ctx.now))
        return change_deal(
            writes, deal, chain, ctx.now, funding="charge", funding_rail=effect.rail, **closed
        )

    def _refuse(self, ctx: Context, deal: Deal, effect: Effect, writes: WriteSet) -> Deal:
        """Back to go_approved; the next settle is a new obligation, by one proven refusal more."""
        refusal = PaymentRefused(deal_id=deal.deal_id, reason=self.outcome.code or "refused")
        writes.claims_finished.append(
            finish_claim(effect, error_outcome(refusal), ctx.now, release=True)
        )
        return change_deal(
            writes,
            deal,
            chain_of(deal, ctx, writes),
            ctx.now,
            state=DealState.GO_APPROVED,
            charge_refusals=deal.charge_refusals + 1,
        )
