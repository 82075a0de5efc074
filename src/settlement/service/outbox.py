"""The outbox: what has happened and is to be told, in order per deal.

For: the worker's loop, and `settlement outbox release`. Operations write a message with each event,
in the event's transaction.
Guarantees: a message is emitted only when its event is in its chain; within a deal in the order
written; a failing head is tried again and parked after eight attempts, and holds up its own deal
only. Processes drain in turns, so nothing is emitted twice or overtaken.
Deliveries to webhooks are owed from the same transaction.
Does not: deliver.

Spec §9.2. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import SECOND_US
from settlement.service import deliveries

if TYPE_CHECKING:
    from settlement.store.database import Database, Tx

ATTEMPTS_MAX: Final = 8
BACKOFF_MAX_SECONDS: Final = 300
NOTE_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What one drain did; `parked` are among the failed."""

    emitted: int = 0
    failed: int = 0
    parked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What became of an operator's wish to let a message go on."""

    released: bool
    event_is_there: bool


class Outbox:
    """The outbox table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def drain(self, limit: int = 500) -> Drained:
        """Emit what is due, up to a limit, in one transaction."""
        return self._db.transaction(lambda tx: _drain(tx, limit))

    def step(self) -> int:
        """One round for the worker: how many messages it got rid of."""
        drained = self.drain()
        return drained.emitted + drained.failed

    def release(self, seq: int, reason: str, operator: str) -> Released | None:
        """Give a parked message new attempts, if its event is there; None: no such message.

        Without that event it would be parked again, or worse: it would tell what did not happen.
        """
        note = f"released by {operator}: {reason}"[:NOTE_CHARACTERS]

        def change(tx: Tx) -> Released | None:
            row = tx.maybe("outbox_find", seq=seq)
            if row is None:
                return None
            there = bool(row["in_chain"])
            freed = there and tx.run("outbox_release", seq=seq, note=note) > 0
            return Released(released=freed, event_is_there=there)

        return self._db.transaction(change)


def _drain(tx: Tx, limit: int) -> Drained:
    emitted: list[int] = []
    failed: list[dict[str, Any]] = []
    held: set[str] = set()  # deals whose head just failed
    tx.one("outbox_await_turn")
    for row in tx.all("outbox_find_due", row_limit=limit, now_us=tx.lease_us):
        if row["deal_id"] in held:
            continue
        if row["in_chain"]:
            emitted.append(row["seq"])
        else:
            held.add(row["deal_id"])
            failed.append(row)
    if emitted:
        deliveries.plan(tx, emitted)
        tx.run("outbox_emit", seqs=emitted, now=tx.now)
    for row in failed:
        tx.run(
            "outbox_fail",
            seq=row["seq"],
            next_attempt_us=tx.lease_us + _backoff_us(row["attempts"]),
            last_error=f"event {row['event_id']} is not in its chain",
            attempts_max=ATTEMPTS_MAX,
        )
    parked = sum(row["attempts"] + 1 >= ATTEMPTS_MAX for row in failed)
    return Drained(emitted=len(emitted), failed=len(failed), parked=parked)


def _backoff_us(attempts: int) -> int:
    return min(BACKOFF_MAX_SECONDS, 1 << min(attempts + 1, 16)) * SECOND_US
