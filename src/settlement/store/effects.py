"""Effects as the worker needs them: locked in a batch, marked before a rail is called.

For: `service/effects.py`. What a rail answered is recorded by operations, through the engine.
Guarantees: marks are made only by a later fence than the one that marked before; effects are
locked in id order, after the jobs that name them.
Does not: call a rail, decide what to do, or touch money.

Spec §6.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from settlement.core.clock import SECOND_US, time_text
from settlement.core.rows import Effect, EffectKind
from settlement.core.state import Footprint, State
from settlement.store.loading import load_footprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Tx


#: Why a payout is not sent: a ruling is awaited, or part of what it would pay is gone.
DISPUTED: Final = "disputed"
WENT_BACK: Final = "went_back"
#: An effect and the fence it is marked with.
Mark: TypeAlias = tuple[Effect, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a rail refused under a claim that was then released."""

    deal_id: str
    kind: EffectKind
    code: str | None


def lock_effects(tx: Tx, effect_ids: Sequence[str]) -> dict[str, Effect]:
    """Read effects by id and keep them locked until commit."""
    state = State()
    load_footprint(tx, Footprint(effects=tuple(effect_ids)), state)
    return {key: effect for key, effect in state.effects.items() if effect is not None}


def mark_sent(tx: Tx, marks: Sequence[Mark]) -> int:
    """planned -> sent, with the fence of who sends; how many rows. Commit before sending."""
    return _mark(tx, "effect_mark_sent", "sent", marks)


def mark_asked(tx: Tx, marks: Sequence[Mark]) -> int:
    """sent (by a lease that is gone) or unknown -> unknown, asked once more; how many rows."""
    return _mark(tx, "effect_mark_asked", "unknown", marks)


def mark_sent_again(tx: Tx, marks: Sequence[Mark]) -> set[str]:
    """unknown -> sent, by the holder of the fence only; the ids of those."""
    ids, fences = _columns(marks)
    rows = tx.all("effect_mark_sent_again", ids=ids, fences=fences, now=tx.now)
    return {row["effect_id"] for row in rows}


def barred_payouts(tx: Tx, effects: Sequence[Effect]) -> dict[str, str]:
    """Which payouts among these must not be sent, and why. Deals are read, not locked: the runner
    holds effects by now, and deals come before them; a dispute that commits in the very moment of
    the mark comes after the sending."""
    ids = [effect.effect_id for effect in effects if effect.kind is EffectKind.PAYOUT]
    if not ids:
        return {}
    rows = tx.all("effect_barred_payouts", ids=ids)
    return {row["effect_id"]: DISPUTED if row["disputed"] else WENT_BACK for row in rows}


def mark_waiting(tx: Tx, effects: Sequence[Effect], why: str, look_again_seconds: int) -> None:
    """Let the payouts behind these say what they wait for: `paused`,
    `recovery_parked` or `disputed`."""
    payouts = [effect.payout_id for effect in effects if effect.payout_id is not None]
    if payouts:
        again = time_text(tx.now_us + look_again_seconds * SECOND_US)
        tx.run("payout_mark_waiting", ids=payouts, waiting_for=why, next_check_at=again, now=tx.now)


def find_refusal(tx: Tx, deal_id: str, operation: str, key: str) -> Refusal | None:
    """The last refusal under a claim, if there was one."""
    row = tx.maybe("effect_find_refusal", deal_id=deal_id, operation=operation, key=key)
    if row is None:
        return None
    return Refusal(deal_id=row["deal_id"], kind=EffectKind(row["kind"]), code=row["refusal"])


def _mark(tx: Tx, query: str, payout_state: str, marks: Sequence[Mark]) -> int:
    if not marks:
        return 0
    ids, fences = _columns(marks)
    marked = tx.run(query, ids=ids, fences=fences, now=tx.now)
    payouts = [effect.payout_id for effect, _ in marks if effect.payout_id is not None]
    if payouts:
        tx.run("payout_mark_state", ids=payouts, state=payout_state, now=tx.now)
    return marked


def _columns(marks: Sequence[Mark]) -> tuple[list[str], list[int]]:
    return [effect.effect_id for effect, _ in marks], [fence for _, fence in marks]
