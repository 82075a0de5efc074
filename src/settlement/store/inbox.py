"""The inbox: what rails told us, taken in once per (source, message id).

Guarantees: `take_in` is true for one caller per message, in whatever process; a message is closed
once. The body is kept as it came.
Does not: read a body.

Spec §9.2. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from settlement.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """One message and what became of it: new, applied, ignored or contradiction."""

    source: str
    message_id: str
    event_id: str
    body: str
    digest: str
    received_at: str
    status: str
    applied_at: str | None
    note: str | None


def take_in(tx: Tx, *, source: str, message_id: str, event_id: str, body: str, digest: str) -> bool:
    """Keep a message; False when it was here before."""
    row = {"source": source, "message_id": message_id, "event_id": event_id}
    return tx.run("inbox_insert", **row, body=body, digest=digest, now=tx.now) == 1


def find_message(tx: Tx, event_id: str) -> InboxRow | None:
    """One message, by our id for it."""
    row = tx.maybe("inbox_get", event_id=event_id)
    return InboxRow(**row) if row is not None else None


def close_message(tx: Tx, event_id: str, status: str, note: str | None) -> bool:
    """Say what became of a new message; False when that was said already."""
    return tx.run("inbox_close", event_id=event_id, status=status, note=note, now=tx.now) == 1


def dismiss_message(tx: Tx, event_id: str, note: str) -> bool:
    """Close a contradiction for good; True for the caller who did it."""
    return tx.run("inbox_dismiss", event_id=event_id, note=note) == 1
