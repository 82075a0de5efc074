"""What the log shows to anyone: tree heads, leaves, proofs, keys, and the root of a day.

For: the routes under `/protocol/merkle`, monitors, and auditors.
Guarantees: every proof is made at a tree size that a signed head stands for; a page is bounded.
Does not: show whose leaf a leaf is. Deal ids are capabilities (spec §12.2), so lists hold hashes
only; `deal_proof` answers who already knows the id.

Spec §8.1, §8.3, contract §2.8. Change colour: amber.
"""

from __future__ import annotations

import base64
import re
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from settlement.core import merkle
from settlement.core.checkpoint import ED25519, TreeHead
from settlement.core.clock import parse_time
from settlement.core.errors import InvalidField, NoSigningKey, TreeSizeUnknown
from settlement.service.log_steps import look_at_log
from settlement.store import log as rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.service.bundles import Bundles
    from settlement.signing import Signer
    from settlement.store.database import Database, Tx

Document: TypeAlias = "dict[str, Any]"

PAGE_MAX: Final = 1000
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class LogViews:
    """Read side of the log. Every method is one snapshot."""

    def __init__(self, db: Database, bundles: Bundles, signer: Signer | None, log_id: str) -> None:
        self._db = db
        self._bundles = bundles
        self._signer = signer
        self._log_id = log_id

    # --- heads -----------------------------------------------------------------------------------

    def latest(self) -> Document:
        """The last signed tree head; raises NoSigningKey or TreeSizeUnknown before the first."""
        head = self._db.read(rows.find_head)
        if head is None and self._signer is None:
            raise NoSigningKey()
        if head is None:
            raise TreeSizeUnknown(position=0)
        return _head_document(head)

    def by_size(self, tree_size: int) -> Document:
        """The signed head of exactly that size; raises TreeSizeUnknown."""
        head = self._db.read(lambda tx: rows.find_head(tx, tree_size)) if tree_size >= 0 else None
        if head is None:
            raise TreeSizeUnknown(position=tree_size)
        return _head_document(head)

    # --- proofs ----------------------------------------------------------------------------------

    def inclusion(self, leaf_index: int, tree_size: int | None = None) -> Document:
        """That the leaf is in the tree of that size (default: the last head's)."""

        def view(tx: Tx) -> Document:
            size = _size_within(tx, tree_size)
            _require(0 <= leaf_index < size, leaf_index)
            reader = rows.TxHashes(tx)
            return {
                "ok": True,
                "log_id": self._log_id,
                "leaf_index": leaf_index,
                "tree_size": size,
                "leaf_hash": reader.hashes(0, leaf_index, 1)[0].hex(),
                "root_hash": merkle.root_at(size, reader).hex(),
                "proof": [one.hex() for one in merkle.inclusion(leaf_index, size, reader)],
            }

        return self._db.read(view)

    def consistency(self, first: int, second: int | None = None) -> Document:
        """That the tree of `second` leaves (default: the last head's) extends that of `first`."""

        def view(tx: Tx) -> Document:
            size = _size_within(tx, second)
            _require(0 <= first <= size, first)
            reader = rows.TxHashes(tx)
            return {
                "ok": True,
                "log_id": self._log_id,
                "first": first,
                "second": size,
                "first_root": merkle.root_at(first, reader).hex(),
                "second_root": merkle.root_at(size, reader).hex(),
                "proof": [one.hex() for one in merkle.consistency(first, size, reader)],
            }

        return self._db.read(view)

    def deal_proof(self, deal_id: str) -> Document:
        """The deal's latest event, its inclusion proof and the head: as its bundle has them."""
        bundle = self._bundles.export_bundle(deal_id)
        last = bundle["events"][-1]
        return {
            "ok": True,
            "deal_id": deal_id,
            "event_id": last["event_id"],
            "event_type": last["event_type"],
            "event_hash": last["hash"],
            "timestamp": last["timestamp"],
            "merkle_inclusion": bundle["merkle_inclusion"],
            "signed_tree_head": bundle["signed_tree_head"],
        }

    # --- leaves ----------------------------------------------------------------------------------

    def entries(self, start: int, end: int) -> Document:
        """Leaves `start` to `end`, both included, at most 1000, within the last signed head."""

        def view(tx: Tx) -> Document:
            size = _size_within(tx, None)
            _require(0 <= start < size, start)
            _require(end >= start, end)
            stop = min(end + 1, size, start + PAGE_MAX)
            page = rows.entries_page(tx, start, stop)
            return {
                "ok": True,
                "log_id": self._log_id,
                "start": start,
                "end": stop - 1,
                "tree_size": size,
                "entries": [_entry_document(entry) for entry in page],
            }

        return self._db.read(view)

    def leaf(self, index: int) -> Document:
        """One leaf within the last signed head."""
        page = self.entries(index, index)
        return {"ok": True, "log_id": self._log_id, **page["entries"][0]}

    def stats(self) -> Document:
        """Sizes and lag; `pending` is counted up to 10,000."""

        def view(tx: Tx) -> Document:
            look = look_at_log(tx)
            pending, oldest = rows.lag(tx)
            return {
                "ok": True,
                "log_id": self._log_id,
                "tree_size": look.signed_size,
                "root_hash": look.last.root_hash if look.last else merkle.EMPTY_ROOT.hex(),
                "head_timestamp": look.last.timestamp if look.last else None,
                "heads": rows.count_heads(tx),
                "leaf_count": look.size,
                "unsigned": look.size - look.signed_size,
                "pending": pending,
                "oldest_pending_at": oldest,
            }

        return self._db.read(view)

    def lag_us(self) -> int:
        """Age of the oldest event that no head covers by an index yet; 0 when none waits."""

        def view(tx: Tx) -> int:
            _, oldest = rows.lag(tx)
            if oldest is None:
                return 0
            try:
                return max(0, tx.now_us - parse_time(oldest))
            except ValueError:
                return 0  # a submitted time in a form of its own says nothing about our lag

        return self._db.read(view)

    # --- keys ------------------------------------------------------------------------------------

    def public_key(self) -> Document:
        """The log's public key as clients and offline verifiers read it."""
        if self._signer is None:
            raise NoSigningKey()
        key_id = self._signer.key_id

        def active_from(tx: Tx) -> str:
            return rows.find_first_head_time(tx, key_id) or tx.now

        return {
            "ok": True,
            "key_id": key_id,
            "algorithm": ED25519,
            "public_key_base64": base64.b64encode(self._signer.public_key).decode("ascii"),
            "status": "active",
            "active_from": self._db.read(active_from),
            "key_version": 1,
            "rotation_policy": "manual",
            "log_id": self._log_id,
        }

    def keys(self) -> Document:
        """All keys this log signs with: one."""
        key = {name: value for name, value in self.public_key().items() if name != "ok"}
        return {"ok": True, "log_id": self._log_id, "keys": [key]}

    # --- days ------------------------------------------------------------------------------------

    def compute_daily_root(self, day: str | date) -> Document:
        """Root and count of the UTC day's leaves, in log order (spec §8.1).

        By the time each event states. Reads the whole log, page by page: for auditors, not routes.
        """
        wanted = _read_day(day)

        def leaves() -> Iterator[bytes]:
            low, high = wanted - timedelta(days=1), wanted + timedelta(days=2)
            bounds, start = (low.isoformat(), high.isoformat()), 0
            while True:
                page = self._db.read(
                    lambda tx, start=start: rows.day_page(tx, start, bounds, PAGE_MAX)  # type: ignore[misc]  # a default binds the loop's value
                )
                for row in page:
                    if _utc_day(row["timestamp"]) == wanted:
                        yield bytes.fromhex(row["leaf_hash"])
                if len(page) < PAGE_MAX:
                    return
                start = page[-1]["log_index"] + 1

        root, count = _root_of(leaves())
        return {"date": wanted.isoformat(), "root": root.hex(), "event_count": count}


def _root_of(leaves: Iterator[bytes]) -> tuple[bytes, int]:
    """Root and number of leaves, remembering one hash per complete subtree on the left."""
    peaks: list[bytes] = []
    count = 0
    for node in leaves:
        at, running = count, node
        while at & 1:
            running = merkle.node_hash(peaks.pop(), running)
            at >>= 1
        peaks.append(running)
        count += 1
    if not peaks:
        return merkle.EMPTY_ROOT, 0
    root = peaks.pop()
    while peaks:
        root = merkle.node_hash(peaks.pop(), root)
    return root, count


def _read_day(day: str | date) -> date:
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(day) if _DAY.fullmatch(day) else _no_day()
    except ValueError:
        return _no_day()


def _no_day() -> date:
    raise InvalidField(field="date", reason="must be a day such as 2026-01-31")


def _utc_day(timestamp: str) -> date | None:
    """The UTC day of a stored time; submitted ones may have any RFC 3339 form."""
    try:
        if timestamp.endswith("Z"):
            return date.fromisoformat(timestamp[:10])
        at = datetime.fromisoformat(timestamp)
    except ValueError:
        return None  # of that form, but no time, such as a leap second
    offset = at.utcoffset()
    return None if offset is None else (at - offset).date()


def _size_within(tx: Tx, tree_size: int | None) -> int:
    """A size that the last head covers: the one asked for, or the head's own."""
    head = rows.find_head(tx)
    signed = head.tree_size if head else 0
    size = signed if tree_size is None else tree_size
    _require(0 <= size <= signed, size)
    return size


def _require(known: bool, position: int) -> None:  # noqa: FBT001  # a condition, not a mode
    if not known:
        raise TreeSizeUnknown(position=position)


def _head_document(head: TreeHead) -> Document:
    return {"ok": True, **head.document(), "merkle_root": head.root_hash, "finalized": True}


def _entry_document(entry: rows.LogEntry) -> Document:
    return {"log_index": entry.log_index, "leaf_hash": entry.leaf_hash}
