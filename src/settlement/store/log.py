"""Rows of the log: pending events, leaves, complete subtrees, tree heads.

For: `service/log.py`, which gives indexes and signs, and the views that make proofs.
Guarantees: `TxHashes` returns exactly what it was asked for or raises StoreCorrupt, a tile in one
statement; `hold_lease` keeps the sequencer's lease row locked until the transaction ends.
Does not: hash, sign, or decide who may write.
Change colour: amber.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core.checkpoint import TreeHead
from settlement.core.errors import LeaseLost, StoreCorrupt
from settlement.core.merkle import HASH_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Row, Tx

_HEX_DIGITS = 2 * HASH_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvent:
    """A committed event without a log index."""

    seq: int
    deal_id: str
    version: int
    event_id: str
    event_type: str
    hash: str
    timestamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A leaf and the event it stands for."""

    log_index: int
    event_id: str
    deal_id: str
    version: int
    leaf_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The last event of a chain; `log_index` is None while it waits for one."""

    version: int
    event_id: str
    log_index: int | None


class TxHashes:
    """Stored hashes as `core.merkle` reads them, within one transaction."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """Exactly `count` hashes of a level; raises StoreCorrupt when one is missing or damaged."""
        if count == 0:
            return []
        stop = start + count
        if level == 0:
            row = self._tx.one("log_leaf_hashes", start=start, stop=stop)
        else:
            row = self._tx.one("log_node_hashes", level=level, start=start, stop=stop)
        text = row["hashes"] or ""
        if len(text) != count * _HEX_DIGITS:
            raise StoreCorrupt(where="the log", reason=f"level {level} lacks hashes from {start}")
        try:
            raw = bytes.fromhex(text)
        except ValueError as error:
            raise StoreCorrupt(
                where="the log", reason=f"level {level} holds no hex from {start}"
            ) from error
        return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def hold_lease(tx: Tx, *, name: str, owner: str, fence: int, seconds: int) -> None:
    """Extend the lease and keep its row until commit; raises LeaseLost when the fence is stale."""
    expires_us = tx.lease_us + seconds * 1_000_000
    held = tx.run("log_lease_extend", name=name, owner=owner, fence=fence, expires_us=expires_us)
    if held != 1:
        raise LeaseLost(name=name)


def log_size(tx: Tx) -> int:
    """How many leaves there are."""
    return int(tx.one("log_size")["tree_size"])


def has_pending(tx: Tx) -> bool:
    """Tell whether some committed event waits for an index."""
    return tx.maybe("log_pending_any") is not None


def pending_page(tx: Tx, limit: int) -> list[PendingEvent]:
    """The next events to get an index, in the order in which they get it."""
    return [PendingEvent(**row) for row in tx.all("log_pending_page", limit=limit)]


def add_entries(
    tx: Tx, entries: Sequence[LogEntry], nodes: Sequence[tuple[int, int, bytes]]
) -> None:
    """Insert leaves and the subtrees that they complete."""
    leaves = [[e.log_index, e.event_id, e.deal_id, e.version, e.leaf_hash] for e in entries]
    tx.run("log_entry_insert", entries=json.dumps(leaves))
    if nodes:
        found = [[level, at, node.hex()] for level, at, node in nodes]
        tx.run("log_node_insert", nodes=json.dumps(found))


def drop_pending(tx: Tx, seqs: Sequence[int]) -> int:
    """Delete exactly these: a row with a lower number may have been committed since."""
    return tx.run("log_pending_delete", seqs=list(seqs))


def entries_page(tx: Tx, start: int, stop: int) -> list[LogEntry]:
    """Leaves from `start` to before `stop`."""
    return [LogEntry(**row) for row in tx.all("log_entries_page", start=start, stop=stop)]


def day_page(tx: Tx, start: int, bounds: tuple[str, str], limit: int) -> list[Row]:
    """Leaves from an index on whose event's time lies, as text, between the bounds."""
    low, high = bounds
    return tx.all("log_day_page", start=start, low=low, high=high, limit=limit)


def find_last_position(tx: Tx, deal_id: str) -> Position | None:
    """The last event of a chain, or None for a chain without events."""
    row = tx.maybe("log_position_last", deal_id=deal_id)
    return Position(**row) if row else None


def find_index(tx: Tx, deal_id: str, version: int) -> int | None:
    """The log index of one event."""
    row = tx.maybe("log_position_at", deal_id=deal_id, version=version)
    return int(row["log_index"]) if row else None


def find_head(tx: Tx, tree_size: int | None = None) -> TreeHead | None:
    """The signed head of that size, or the last one."""
    if tree_size is None:
        row = tx.maybe("log_head_last")
    else:
        row = tx.maybe("log_head_at", tree_size=tree_size)
    return TreeHead(**row) if row else None


def find_first_head_time(tx: Tx, key_id: str) -> str | None:
    """When that key first signed."""
    time: str | None = tx.one("log_head_first", key_id=key_id)["timestamp"]
    return time


def count_heads(tx: Tx) -> int:
    """How many heads were signed."""
    return int(tx.one("log_head_count")["heads"])


def add_head(tx: Tx, head: TreeHead) -> None:
    """Insert a signed head; its size is its key, so a second of that size is refused."""
    tx.run(
        "log_head_insert",
        tree_size=head.tree_size,
        root_hash=head.root_hash,
        log_id=head.log_id,
        timestamp=head.timestamp,
        key_id=head.key_id,
        algorithm=head.algorithm,
        signature=head.signature,
    )


def lag(tx: Tx) -> tuple[int, str | None]:
    """How many events wait (counted up to 10,000) and the oldest one's time."""
    row = tx.one("log_lag")
    return int(row["pending"]), row["oldest"]
