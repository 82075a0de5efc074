"""Recovery from a loss: the marks a restore leaves, and the operator's steps that lift them.

For: `restore.py`, `settlement reconcile` and `settlement accept-gap`.
Guarantees: a restore enters a new epoch, so no lease, fence or answer of before counts any more;
what had been sent is unknown until asked; nothing is sent to a rail, and nothing is delivered,
until an operator has lifted it. Every step is an event on the chain `sys_recovery`, in the
transaction of what it changes.
Does not: ask rails; `reconcile.py` does.

Spec §7, §17.2. Change colour: red.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from settlement.core.canonical import sha256_hex
from settlement.core.ids import system_stream
from settlement.core.operation import Rules
from settlement.core.operations import AppendEvent
from settlement.core.principal import SYSTEM
from settlement.service import batch
from settlement.service.tickets import make_ticket
from settlement.store import recovery as rows

if TYPE_CHECKING:
    from settlement.core.archive import Manifest
    from settlement.store.database import Database, Tx

STREAM: Final = system_stream("recovery")


def mark_recovered(
    tx: Tx, manifest: Manifest, *, epoch: int, lost_since: str | None, operator: str
) -> None:
    """Mark freshly restored rows: what happened after the backup is lost, and may have happened."""
    since = lost_since or manifest.created_at
    rows.begin_epoch(tx, epoch, since)
    rows.void_holds(tx, epoch)
    record(
        tx,
        "RECOVERED",
        operator,
        lost_since=since,
        content_hash=manifest.content_hash,
        tree_size=manifest.tree_size,
    )


def release_deliveries(db: Database, operator: str) -> bool:
    """Let webhooks go out again; False if they could already."""

    def change(tx: Tx) -> bool:
        if not rows.release_deliveries(tx):
            return False
        record(tx, "DELIVERIES_RELEASED", operator)
        return True

    return db.transaction(change)


def record_gap(db: Database, *, promised: int, reached: int, reason: str, operator: str) -> None:
    """Record that an operator goes on although more was once signed."""
    db.transaction(
        lambda tx: record(
            tx,
            "GAP_ACCEPTED",
            operator,
            promised=promised,
            reached=reached,
            reason_hash=sha256_hex(reason),
        )
    )


def record(tx: Tx, event_type: str, operator: str, **facts: str | int) -> None:
    """Append an event of this chain, as every event is appended: by a batch, here in our own
    transaction."""
    event = AppendEvent(
        principal=SYSTEM,
        record={
            "deal_id": STREAM,
            "event_type": event_type,
            "actor_id": operator,
            "source": "operator",
            "payload": {
                "authority": "operator",
                "operator": operator,
                "recovery_epoch": rows.read_recovery(tx).epoch,
                **facts,
            },
        },
    )
    done = batch.run(tx, [make_ticket(event)], Rules(), lambda: secrets.token_bytes(16))
    done.answers[0].unwrap()
