"""Audit of the evidence: event chains, the log, tree heads and receipts (checks 37 to 40).

Guarantees: every event hash and every leaf is computed anew, and every root from the leaves alone,
in one pass and constant memory; no stored subtree is believed but those under the signed head from
which an audit goes on.
Does not: fetch keys; heads signed by a key it was not given are a finding, not a guess.

Spec §8, §16.3. Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from settlement.core import merkle
from settlement.core.canonical import EventTemplate, j_text, load_json
from settlement.core.checkpoint import TreeHead, verify_head
from settlement.core.errors import CanonicalForm
from settlement.core.hashes import receipt_hash, verification_hash
from settlement.service.audit_base import Check, Skip
from settlement.store.log import TxHashes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from settlement.core.canonical import Json
    from settlement.service.audit_base import AuditContext, BadRow, Outcome
    from settlement.store.audit import AuditReader


# --- 37: chains ----------------------------------------------------------------------------------


def _chains(reader: AuditReader, _context: AuditContext) -> Outcome:
    before: dict[str, Any] | None = None
    for row in reader.stream("audit_event_page", deal_id="", version=-1):
        if before is not None and before["deal_id"] != row["deal_id"]:
            if (why := _end_fault(before)) is not None:
                return _event(before, why)
            before = None
        if (why := link_fault(row, before)) is not None:
            return _event(row, why)
        before = row
    if before is not None and (why := _end_fault(before)) is not None:
        return _event(before, why)
    return reader.first("audit_deal_without_events")


def _chains_since(reader: AuditReader, context: AuditContext) -> Outcome:
    """Each event after the head against the one before it, wherever that is."""
    for row in _events_since(reader, context.since):
        before = None
        if row["before_hash"] is not None:
            before = {"version": row["version"] - 1, "hash": row["before_hash"]}
        why = link_fault(row, before)
        if why is None and row["after_hash"] is None:
            why = _end_fault(row)
        if why is not None:
            return _event(row, why)
    return reader.first("audit_deal_without_events")


def _events_since(reader: AuditReader, since: int) -> Iterator[dict[str, Any]]:
    yield from reader.stream("audit_event_since_page", log_index=since - 1)
    yield from reader.stream("audit_event_waiting_page", seq=-1)


def _event(row: dict[str, Any], why: str) -> BadRow:
    shown = {name: row[name] for name in ("deal_id", "version", "event_id", "event_type")}
    return {**shown, "why": why}


def link_fault(row: dict[str, Any], before: dict[str, Any] | None) -> str | None:
    if row["version"] != (0 if before is None else before["version"] + 1):
        return "a version is missing before it"
    if row["prev_hash"] != ("" if before is None else before["hash"]):
        return "it does not name the hash of the event before it"
    try:
        payload = load_json(row["payload"])
        if not isinstance(payload, dict) or j_text(payload) != row["payload"]:
            return "its payload is not in the form that was hashed"
        template = EventTemplate(
            deal_id=row["deal_id"], actor_id=row["actor_id"], timestamp=row["timestamp"]
        )
        computed = template.hash(
            row["event_id"], row["event_type"], row["payload"], row["prev_hash"]
        )
    except CanonicalForm as error:
        return f"it cannot be hashed: {error.reason}"
    return None if computed == row["hash"] else "it does not hash to what it claims"


def _end_fault(last: dict[str, Any]) -> str | None:
    """The deal's row must point at the end of its chain; other chains have no row."""
    if last["deal_version"] is None:
        return None
    if (last["deal_version"], last["deal_head_hash"]) != (last["version"] + 1, last["hash"]):
        return "its deal does not have it as the head of the chain"
    return None


# --- 38, 39: the log -----------------------------------------------------------------------------


class _Root:
    """The root of the leaves seen so far, from one hash per power of two."""

    __slots__ = ("_peaks", "size")

    def __init__(self, peaks: Iterable[tuple[int, bytes]] = ()) -> None:
        self._peaks = list(peaks)
        self.size = sum(width for width, _ in self._peaks)

    def add(self, leaf: bytes) -> None:
        width = 1
        while self._peaks and self._peaks[-1][0] == width:
            leaf = merkle.node_hash(self._peaks.pop()[1], leaf)
            width *= 2
        self._peaks.append((width, leaf))
        self.size += 1

    def value(self) -> bytes:
        if not self._peaks:
            return merkle.EMPTY_ROOT
        root = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            root = merkle.node_hash(peak, root)
        return root


def _reach(reader: AuditReader, context: AuditContext) -> Outcome:
    last = reader.first("log_head_last")
    known = context.checkpoint
    if last is None and known is None:
        return Skip(reason="no tree head has been signed yet")
    if known is not None and (last is None or last["tree_size"] < known.tree_size):
        return {
            "tree_size": known.tree_size,
            "found": last["tree_size"] if last else 0,
            "why": "the head kept outside the database is larger than any inside",
        }
    if known is not None:
        stored = reader.first("log_head_at", tree_size=known.tree_size)
        if stored is not None and stored["root_hash"] != known.root_hash:
            return {
                "tree_size": known.tree_size,
                "why": "the head kept outside the database has another root",
            }
    leaves = reader.counts["log_entry"]
    if last is not None and last["tree_size"] > leaves:
        return {
            "tree_size": last["tree_size"],
            "leaves": leaves,
            "why": "the log is shorter than the last signed head",
        }
    return None


def _log(reader: AuditReader, context: AuditContext) -> Outcome:
    return _log_from(reader, context, _Root())


def _log_since(reader: AuditReader, context: AuditContext) -> Outcome:
    """From the stored subtrees of the head on: its signed root tells whether they are true."""
    size = context.since
    peaks = reader.on_snapshot(lambda tx: merkle.peaks_at(size, TxHashes(tx)))
    return _log_from(reader, context, _Root(peaks))


def _log_from(reader: AuditReader, context: AuditContext, root: _Root) -> Outcome:
    heads = _Heads(reader, context, root.size)
    if (bad := heads.reached(root)) is not None:
        return bad
    for row in reader.stream("audit_leaf_page", log_index=root.size - 1):
        if (why := _leaf_fault(row, root.size)) is not None:
            shown = {"log_index": row["log_index"], "event_id": row["leaf_event_id"]}
            return {**shown, "why": why}
        root.add(bytes.fromhex(row["leaf_hash"]))
        if (bad := heads.reached(root)) is not None:
            return bad
    return heads.left() or reader.first("audit_event_unlogged")


class _Heads:
    """The signed heads in order of size, each checked when the leaves have come to it."""

    def __init__(self, reader: AuditReader, context: AuditContext, size: int) -> None:
        rows = reader.stream("audit_head_page", tree_size=size - 1)
        self._heads = (TreeHead(**row) for row in rows)
        self._context = context
        self._next = next(self._heads, None)

    def reached(self, root: _Root) -> BadRow | None:
        """Check the head of exactly this size, if there is one."""
        head = self._next
        if head is None or head.tree_size != root.size:
            return None
        self._next = next(self._heads, None)
        why = _head_fault(head, root, self._context)
        return None if why is None else {"tree_size": head.tree_size, "why": why}

    def left(self) -> BadRow | None:
        """A head that no leaf came to."""
        if self._next is None:
            return None
        return {"tree_size": self._next.tree_size, "why": "it signs leaves that are not there"}


def _leaf_fault(row: dict[str, Any], expected: int) -> str | None:
    if row["log_index"] != expected:
        return f"the leaf {expected} is missing"
    if row["event_id"] is None:
        return "its event does not exist"
    if (row["deal_id"], row["version"]) != (row["leaf_deal_id"], row["leaf_version"]):
        return "it stands for another place in the chain than its event has"
    computed = merkle.event_leaf(
        deal_id=row["deal_id"],
        event_type=row["event_type"],
        event_id=row["event_id"],
        event_hash=row["hash"],
        timestamp=row["timestamp"],
    )
    return None if computed.hex() == row["leaf_hash"] else "it is not the hash of its event's leaf"


def _head_fault(head: TreeHead, root: _Root, context: AuditContext) -> str | None:
    if root.value().hex() != head.root_hash:
        return "its root is not the root of the leaves"
    if context.verify is None or not context.public_keys:
        return None
    key = context.public_keys.get(head.key_id)
    if key is None:
        return f"it is signed by the key {head.key_id}, which this audit was not given"
    return None if verify_head(head, key, context.verify) else "its signature does not verify"


# --- 40: receipts --------------------------------------------------------------------------------


def _receipts(reader: AuditReader, _context: AuditContext) -> Outcome:
    for row in reader.stream("audit_receipt_page", receipt_id=""):
        if (why := _receipt_fault(row)) is not None:
            return {"receipt_id": row["receipt_id"], "deal_id": row["deal_id"], "why": why}
    return None


def _receipt_fault(row: dict[str, Any]) -> str | None:
    subject = (row["deal_id"], row["proof_hash"], row["provider"])
    verified = bool(row["verified"])
    try:
        digest = receipt_hash(*subject, verified=verified, confidence=row["confidence"])
        seen = verification_hash(*subject, verified=verified)
        payload = load_json(row["payload"] or "{}")
    except CanonicalForm as error:
        return f"it cannot be hashed: {error.reason}"
    if (digest.wire, digest.full) != (row["receipt_hash"], row["receipt_digest"]):
        return "it does not hash to its receipt_hash"
    if seen.wire != row["verification_hash"]:
        return "it does not hash to its verification_hash"
    if row["event_id"] is None:
        return "it says verified and no event says so" if verified else None
    return _receipt_event_fault(row, payload)


def _receipt_event_fault(row: dict[str, Any], payload: Json) -> str | None:
    if row["event_deal_id"] != row["deal_id"] or row["event_type"] != "PROOF_VERIFIED":
        return "its event is not the deal's PROOF_VERIFIED"
    if not isinstance(payload, dict) or payload.get("receipt_hash") != row["receipt_hash"]:
        return "its event does not carry its receipt_hash"
    return None


CHECKS: Final = (
    Check(
        number=37,
        title="chains start at genesis, without gaps, linked, each hash recomputed",
        run=_chains,
        needs="deal",
        since=_chains_since,
    ),
    Check(number=38, title="the log reaches the last signed head", run=_reach),
    Check(
        number=39,
        title="every event is in the log once; heads verify and are consistent",
        run=_log,
        needs="event",
        since=_log_since,
    ),
    Check(
        number=40,
        title="receipts recompute and stand in the log through their events",
        run=_receipts,
        needs="receipt",
    ),
)
