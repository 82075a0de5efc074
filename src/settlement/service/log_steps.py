"""The log's steps as functions of one transaction: give indexes, prove the next root, keep a head.

For: `log.py`, which holds the lease and decides when.
Guarantees: indexes are dense and follow the order of `event_pending`; a root is returned only when
the stored rows prove that it extends every head named, else CheckpointDiverged.
Does not: take the lease, sign, or know threads and files.

Spec §8.2, §8.3. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core import merkle
from settlement.core.checkpoint import TreeHead, verify_head
from settlement.core.errors import CheckpointDiverged, StoreCorrupt
from settlement.signing import verify_ed25519
from settlement.store import log as rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from settlement.core.merkle import HashReader
    from settlement.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The log as one snapshot shows it."""

    last: TreeHead | None
    size: int
    now_us: int

    @property
    def changed(self) -> bool:
        """True when the last head does not stand for the log as it is."""
        return self.last is None or self.last.tree_size != self.size

    @property
    def signed_size(self) -> int:
        """Size of the last head, 0 before the first."""
        return self.last.tree_size if self.last else 0


def look_at_log(tx: Tx) -> Look:
    """Last head, size and time in one snapshot."""
    return Look(last=rows.find_head(tx), size=rows.log_size(tx), now_us=tx.now_us)


def give_indexes(tx: Tx, batch: int) -> int:
    """Make leaves of up to a batch of pending events. The caller holds the lease."""
    pending = rows.pending_page(tx, batch)
    if not pending:
        return 0
    _check_order(pending)
    size = rows.log_size(tx)
    leaves = [
        merkle.event_leaf(
            deal_id=event.deal_id,
            event_type=event.event_type,
            event_id=event.event_id,
            event_hash=event.hash,
            timestamp=event.timestamp,
        )
        for event in pending
    ]
    entries = [
        rows.LogEntry(
            log_index=size + at,
            event_id=event.event_id,
            deal_id=event.deal_id,
            version=event.version,
            leaf_hash=leaf.hex(),
        )
        for at, (event, leaf) in enumerate(zip(pending, leaves, strict=True))
    ]
    nodes = list(merkle.new_complete_nodes(size, leaves, rows.TxHashes(tx)))
    rows.add_entries(tx, entries, nodes)
    dropped = rows.drop_pending(tx, [event.seq for event in pending])
    assert dropped == len(pending), "only the holder of the lease deletes pending rows"
    return len(pending)


def _check_order(pending: Sequence[rows.PendingEvent]) -> None:
    # A deal's events are written under the deal's lock and take their numbers there, so versions
    # rise. Were that ever untrue, the log would be wrong for good: stop before it is.
    seen: dict[str, int] = {}
    for event in pending:
        if event.version <= seen.get(event.deal_id, -1):
            raise StoreCorrupt(
                where="event_pending",
                reason=f"{event.deal_id} version {event.version} is out of order",
            )
        seen[event.deal_id] = event.version


def prove_root(
    tx: Tx, promised: Iterable[TreeHead], log_id: str, signed_by: tuple[str, bytes]
) -> tuple[Look, bytes]:
    """The root of the log as it is, proven to extend the last head and those promised elsewhere.

    `signed_by`: key id and public key; a stored head that claims this key must verify under it.
    """
    look = look_at_log(tx)
    reader = rows.TxHashes(tx)
    known = {head.tree_size: head for head in promised}
    for head in known.values():
        if look.last is not None and head.tree_size == look.last.tree_size and head != look.last:
            raise CheckpointDiverged(tree_size=head.tree_size)
    if look.last is not None:
        key_id, public_key = signed_by
        if look.last.key_id == key_id and not verify_head(look.last, public_key, verify_ed25519):
            raise CheckpointDiverged(tree_size=look.last.tree_size)
        known[look.last.tree_size] = look.last
    root = merkle.root_at(look.size, reader)
    for head in known.values():
        check_extends(reader, head, log_id=log_id, size=look.size, root=root)
    return look, root


def check_extends(
    reader: HashReader, head: TreeHead, *, log_id: str, size: int, root: bytes
) -> None:
    """Raise CheckpointDiverged unless the tree of `size` leaves with that root extends the head."""
    if head.log_id == log_id and head.tree_size <= size:
        proof = merkle.consistency(head.tree_size, size, reader)
        old_root = bytes.fromhex(head.root_hash)
        if merkle.verify_consistency(head.tree_size, size, old_root, root, proof):
            return
    raise CheckpointDiverged(tree_size=head.tree_size)


def keep_head(tx: Tx, after: TreeHead | None, head: TreeHead) -> None:
    """Insert a signed head. The caller holds the lease, so the last head is still `after`."""
    last = rows.find_head(tx)
    assert last == after, "only the holder of the lease signs"
    rows.add_head(tx, head)
