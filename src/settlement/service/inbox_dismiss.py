"""Putting a contradiction aside: somebody has looked, and it counts no more.

For: `settlement inbox dismiss`.
Guarantees: only a contradiction can be dismissed, once; who did it, why, and what it was stay with
the message. The message itself is kept as it came.
Does not: move money, or make the rail's word true.

Spec §10.1. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from settlement.core.errors import InvalidField, MessageNotFound
from settlement.store import inbox as rows

if TYPE_CHECKING:
    from settlement.store.database import Database, Tx

REASON_MAX: Final = 500


def dismiss(db: Database, event_id: str, *, reason: str, operator: str) -> bool:
    """Put a contradiction aside; False if it is none (any more).

    Raises InvalidField and MessageNotFound.
    """
    if not reason.strip() or len(reason) > REASON_MAX or not reason.isprintable():
        raise InvalidField(
            field="reason", reason=f"must be one line of 1 to {REASON_MAX} characters"
        )

    def write(tx: Tx) -> bool:
        found = rows.find_message(tx, event_id)
        if found is None:
            raise MessageNotFound(message_id=event_id)
        if found.status != "contradiction":
            return False
        note = f"dismissed by {operator}: {reason}; was: {found.note}"
        return rows.dismiss_message(tx, event_id, note)

    return db.transaction(write)
