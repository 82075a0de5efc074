"""Recording a rail's answer: the effect as its caller left it, its new row, and the claim it ends.

For: `RecordCharge` and `RecordPayout`.
Guarantees: an answer is recorded only under the fence that asked and while the effect is open, so
a caller that overslept its lease records nothing (spec §6.4).
Does not: decide what follows from the answer.

Spec §6.4, §7. Change colour: red.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from settlement.core.errors import LeaseLost
from settlement.core.rows import EffectState
from settlement.core.writeset import ClaimFinish, EffectChange

if TYPE_CHECKING:
    from settlement.core.operations.outcome import RailOutcome
    from settlement.core.rows import Effect, EffectKind
    from settlement.core.state import State

#: Sent is committed before the rail is called, so nothing else can have been answered.
_ANSWERABLE: Final = frozenset({EffectState.SENT, EffectState.UNKNOWN})

#: Planned, and no rail was ever asked for it.
UNSENT: Final = frozenset({EffectState.PLANNED})


class Answer(Protocol):
    """A rail's answer as an operation carries it: which effect, of which deal, asked by whom."""

    @property
    def effect_id(self) -> str: ...
    @property
    def deal_id(self) -> str: ...
    @property
    def fence(self) -> int: ...


def check_effect(
    state: State,
    answer: Answer,
    kind: EffectKind,
    states: frozenset[EffectState] = _ANSWERABLE,
) -> Effect:
    """The effect, if this fence may still answer it; raises LeaseLost."""
    effect = state.effects[answer.effect_id]
    if (
        effect is None
        or (effect.kind, effect.deal_id, effect.fence) != (kind, answer.deal_id, answer.fence)
        or effect.state not in states
    ):
        raise LeaseLost(name=answer.effect_id)
    return effect


def answered(effect: Effect, outcome: RailOutcome, now: str) -> EffectChange:
    """The effect's new row, valid only while fence and state are what was read."""
    changed = replace(
        effect,
        state=EffectState(outcome.state),
        rail_ref=outcome.rail_ref if outcome.rail_ref is not None else effect.rail_ref,
        refusal=outcome.code if outcome.state == "refused" else effect.refusal,
        updated_at=now,
    )
    return EffectChange(
        effect=changed, expected_fence=effect.fence, expected_state=effect.state.value
    )


def finish_claim(effect: Effect, outcome: str, now: str, *, release: bool = False) -> ClaimFinish:
    """Give the claim that planned the effect its outcome."""
    assert effect.claim_operation is not None, "an effect that ends a claim names it"
    assert effect.claim_key is not None, "an effect that ends a claim names it"
    return ClaimFinish(
        scope=f"deal:{effect.deal_id}",
        operation=effect.claim_operation,
        key=effect.claim_key,
        outcome=outcome,
        finished_at=now,
        release=release,
    )
