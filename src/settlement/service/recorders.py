"""Who books what a rail said about an effect, by what the effect is for.

For: `effects.py` and `inbox_plan.py`.
Guarantees: every answer is an operation of the engine, made only under the fence that asked.
Does not: decide what an answer means.

Spec §6.4. Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from settlement.core.operations import RecordCharge, RecordPayout, RecordRefund, RecordTopupCharge
from settlement.core.principal import SYSTEM
from settlement.core.rows import Effect, EffectKind
from settlement.core.topups import is_topup_charge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.operation import Operation
    from settlement.core.operations import RailOutcome

Recorder: TypeAlias = RecordCharge | RecordPayout | RecordRefund | RecordTopupCharge
_RECORDERS: Final[Mapping[EffectKind, type[Recorder]]] = {
    EffectKind.CHARGE: RecordCharge,
    EffectKind.PAYOUT: RecordPayout,
    EffectKind.REFUND: RecordRefund,
}


def find_recorder(effect: Effect) -> type[Recorder] | None:
    """The operation that records an answer; None where nobody does."""
    if is_topup_charge(effect):
        return RecordTopupCharge
    return _RECORDERS.get(effect.kind)


def record_of(effect: Effect, fence: int, outcome: RailOutcome, *, dropped: bool) -> Operation:
    """The operation that books an outcome; a dropped payout was never sent, so no fence asked."""
    if dropped:
        return RecordPayout(
            principal=SYSTEM,
            effect_id=effect.effect_id,
            deal_id=effect.deal_id,
            fence=effect.fence,
            outcome=outcome,
            unsent=True,
        )
    recorder = find_recorder(effect)
    assert recorder is not None, "nobody takes an effect that nobody records"
    return recorder(
        principal=SYSTEM,
        effect_id=effect.effect_id,
        deal_id=effect.deal_id,
        fence=fence,
        outcome=outcome,
    )
