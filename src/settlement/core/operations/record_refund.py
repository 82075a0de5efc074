"""Record what the rail answered to a refund.

For: the effect job, after it called or asked the rail, and the inbox.
Guarantees: what was held is posted or freed by the rail's word alone; a silent rail keeps it. A
stale fence records nothing.
Does not: call the rail.

Spec §5.4, §6.4. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from settlement.core.errors import LeaseLost, RefundRefused
from settlement.core.operation import Call, Context, Decision
from settlement.core.operations._common import change_deal, get_deal, rail_actor
from settlement.core.operations.answering import answered, check_effect
from settlement.core.operations.giving_back import resolve_holds
from settlement.core.operations.outcome import error_outcome, result_outcome
from settlement.core.operations.refund import refund_needs, refunding
from settlement.core.operations.refunding import (
    back_payload,
    ended,
    refund_result,
)
from settlement.core.refund_rows import Refund, RefundState
from settlement.core.rows import EffectKind
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import ClaimFinish, WriteSet

if TYPE_CHECKING:
    from settlement.core.operations.outcome import RailOutcome
    from settlement.core.operations.refunding import Refunding
    from settlement.core.principal import Principal
    from settlement.core.rows import Deal, Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRefund:
    """A rail's answer about a refund."""

    name: ClassVar[str] = "record_refund"

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
        """What the refund needed."""
        return refund_needs(state.deals[self.deal_id], ctx)

    def decide(self, state: State, ctx: Context) -> Decision:
        """Post, free, or note the silence."""
        # 11 state: only the effect as its caller left it may be answered
        effect = check_effect(state, self, EffectKind.REFUND)
        deal = get_deal(state, self.deal_id)
        plan = json.loads(effect.plan)
        refunds = {one.refund_id: one for one in state.refunds[deal.deal_id]}
        refund = refunds.get(plan["refund_id"])
        if refund is None or refund.effect_id != effect.effect_id:
            raise LeaseLost(name=self.effect_id)

        # ---- point of no return: construction and asserts only
        writes = WriteSet()
        writes.effects_changed.append(answered(effect, self.outcome, ctx.now))
        if self.outcome.state == "unknown":
            refund = replace(refund, state=RefundState.UNKNOWN, updated_at=ctx.now)
            writes.refunds_changed.append(refund)
            return Decision(result=refund_result(refund, deal.state.value), writes=writes)
        run = refunding(state, ctx, deal, writes, rail_actor(effect.rail))
        refund, changed = self._resolve(run, refund, plan["reason_code"])
        result = refund_result(refund, changed.state.value)
        if plan["claim"] is not None:
            writes.claims_finished.append(self._finish(plan["claim"], effect, result, ctx))
        return Decision(result=result, writes=writes)

    def _resolve(self, run: Refunding, refund: Refund, reason_code: str) -> tuple[Refund, Deal]:
        """Resolve the holds by the rail's word, say so, and end what this ends."""
        confirmed = self.outcome.state == "confirmed"
        code = None if confirmed else self.outcome.code or "refused"
        tx = run.books.begin()
        resolve_holds(tx, refund, confirmed=confirmed)
        payload = back_payload(refund, reason_code, rail_ref=self.outcome.rail_ref, code=code)
        event = run.chain.append(
            "REFUNDED" if confirmed else "REFUND_FAILED",
            run.by,
            payload | tx.facts(),
            event_id=tx.event_id,
            counterparty_id=run.other(),
        )
        tx.book(event)
        refund = replace(
            refund,
            state=RefundState(self.outcome.state),
            holds="[]",
            rail_ref=self.outcome.rail_ref,
            refusal=code,
            updated_at=run.ctx.now,
        )
        run.books.writes.refunds_changed.append(refund)
        changes: dict[str, Any] = {}
        if confirmed:
            run.take_volume(refund)
            changes = ended(run, refund, reason_code)
        return refund, change_deal(run.books.writes, run.deal, run.chain, run.ctx.now, **changes)

    def _finish(
        self, claim: list[str], effect: Effect, result: dict[str, Any], ctx: Context
    ) -> ClaimFinish:
        scope, operation, key = claim
        outcome = result_outcome(result)
        if self.outcome.state == "refused":
            reason = self.outcome.code or "refused"
            outcome = error_outcome(RefundRefused(deal_id=effect.deal_id, reason=reason))
        return ClaimFinish(
            scope=scope, operation=operation, key=key, outcome=outcome, finished_at=ctx.now
        )
