"""Pause and resume: the operator's switches, changed with a record of who did it and why.

For: `settlement pause` and `resume`, and the engine, which asks which switches an operation
hangs on.
Guarantees: a change and its event on the chain `sys_switch_<name>` commit together; a switch that
is where it should be is left alone, and no event says otherwise. The reason stays with the switch;
the event, which is published, holds its digest.
Does not: stop what is under way. A call that was taken in before is finished, a replay is answered,
and a rail is asked about open effects.

Spec §1.6, §17.3. Change colour: amber.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from settlement.core.canonical import sha256_hex
from settlement.core.errors import InvalidField
from settlement.core.ids import system_stream
from settlement.core.operation import Rules
from settlement.core.operations import AppendEvent
from settlement.core.principal import SYSTEM
from settlement.core.rows import EffectKind
from settlement.service import batch
from settlement.service.tickets import make_ticket
from settlement.store.database import ConstraintViolated
from settlement.store.pauses import PauseRow, Switch, read_pauses, write_pause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.store.database import Database, Tx

REASON_MAX: Final = 500
OPERATOR_MAX: Final = 128
#: How often a waiting effect looks whether its switch is still paused; resuming wakes it.
LOOK_AGAIN_SECONDS: Final = 30
_TRIES: Final = 5
#: What sends money on its way, by the kind of what is asked of a rail.
EFFECT_SWITCH: Final[Mapping[EffectKind, str]] = {
    EffectKind.CHARGE: Switch.SETTLE.value,
    EffectKind.PAYMENT_LINK: Switch.SETTLE.value,
    EffectKind.REFUND: Switch.SETTLE.value,
    EffectKind.PAYOUT: Switch.PAYOUT.value,
}


def change(db: Database, switch: Switch, *, paused: bool, reason: str, operator: str) -> bool:
    """Put a switch where it should be; True if it was not there. Raises InvalidField."""
    _check("reason", reason, REASON_MAX)
    _check("operator", operator, OPERATOR_MAX)

    def turn(tx: Tx) -> bool:
        if (switch.value in read_pauses(tx).on) == paused:
            return False
        _record(tx, switch, paused=paused, reason=reason, operator=operator)
        row = PauseRow(
            switch=switch.value, paused=paused, operator=operator, reason=reason, since=tx.now
        )
        write_pause(tx, row)
        return True

    for tries_left in reversed(range(_TRIES)):
        try:
            return db.transaction(turn)
        except ConstraintViolated:  # another operator was first; look again
            if not tries_left:
                raise
    raise AssertionError("the last try answers")


def _check(field: str, text: str, limit: int) -> None:
    if not text.strip() or len(text) > limit or not text.isprintable():
        raise InvalidField(field=field, reason=f"must be one line of 1 to {limit} characters")


def _record(tx: Tx, switch: Switch, *, paused: bool, reason: str, operator: str) -> None:
    """Append the event, as every event is appended: by a batch, here in our own transaction."""
    event = AppendEvent(
        principal=SYSTEM,
        record={
            "deal_id": system_stream(f"switch_{switch.value}"),
            "event_type": "SWITCH_PAUSED" if paused else "SWITCH_RESUMED",
            "actor_id": operator,
            "source": "operator",
            "payload": {
                "authority": "operator",
                "operator": operator,
                "reason_hash": sha256_hex(reason),
                "switch": switch.value,
            },
        },
    )
    done = batch.run(tx, [make_ticket(event)], Rules(), lambda: secrets.token_bytes(16))
    done.answers[0].unwrap()
