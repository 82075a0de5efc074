"""Proof bundles of deals: export, and the answers to "does this deal verify?".

For: the proof and export routes, and the check of a bundle that somebody posts.
Guarantees: proofs, events, inclusion proof and tree head are of one snapshot and one tree size, and
the leaf that is proven is the deal's latest event, so that an exported bundle verifies at level
full. Before it leaves, the inclusion proof is checked against the signed root.
Does not: decide who may see a deal; whoever knows its id may (spec §12.2).

Spec §8, contract §2.8, §4. Change colour: red.
"""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from settlement.core import merkle
from settlement.core.bundle import BundleParts, build_bundle, inclusion_document
from settlement.core.bundle_check import StepResult, verify_bundle
from settlement.core.canonical import K_INTEGER_MAX, EventTemplate, Json, load_json, sha256_hex
from settlement.core.errors import (
    CanonicalForm,
    CheckpointDiverged,
    DealNotFound,
    StoreCorrupt,
)
from settlement.service.log import WAIT_SECONDS_MAX, clock_ms
from settlement.signing import verify_ed25519
from settlement.store import log as log_rows
from settlement.store.bundles import DealHead, count_proofs, find_deal_head, load_proofs
from settlement.store.events import load_chain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.core.checkpoint import TreeHead
    from settlement.core.rows import Event, Proof
    from settlement.service.log import Sequencer
    from settlement.signing import Signer
    from settlement.store.database import Database, Tx

Document: TypeAlias = "dict[str, Any]"

#: Bundles in the making at once. One of the largest takes tens of MiB while it is made, and more
#: threads than this wait for the log at times and then all go on together.
MAKING_MAX: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchor:
    """The last event's leaf under a signed head."""

    head: TreeHead
    inclusion: dict[str, Json]


class Bundles:
    """Bundles of this server's deals."""

    def __init__(self, db: Database, sequencer: Sequencer, signer: Signer | None) -> None:
        self._db = db
        self._sequencer = sequencer
        self._signer = signer
        self._making = threading.BoundedSemaphore(MAKING_MAX)

    def export_bundle(self, deal_id: str, timeout_seconds: int = WAIT_SECONDS_MAX) -> Document:
        """The deal's proof bundle, anchored at its latest event.

        May wait for the log, up to 5 s. Raises DealNotFound, NoSigningKey, LogLagging.
        """
        deadline_ms = clock_ms() + min(timeout_seconds, WAIT_SECONDS_MAX) * 1000
        while True:
            with self._making:
                parts = self._db.read(lambda tx: _read_parts(tx, deal_id))
                if parts.head is not None:
                    return {"key_directory": {}, **_build(parts)}
            del parts  # it may be large, and the log may need seconds
            # Not covered yet, or an event was added between the wait and the snapshot.
            self._sequencer.cover_by(deal_id, deadline_ms)

    def proof_page(self, deal_id: str) -> Document:
        """The bundle with its counts, as the proof page and the command-line client read it."""
        bundle = self.export_bundle(deal_id)
        counts = {"proof_count": len(bundle["proofs"]), "event_count": len(bundle["events"])}
        return {**bundle, **counts}

    def verify_deal(self, deal_id: str) -> Document:
        """Check the stored chain and its place in the log; problems are data, listed in `errors`.

        Raises DealNotFound only. Events that no head covers yet are no problem.
        """
        return self._db.read(lambda tx: _verify_stored(tx, deal_id))

    def verify_posted_bundle(self, bundle: Mapping[str, Json]) -> Document:
        """Check a bundle somebody sent, offline, under this log's own key if it has one."""
        key = base64.b64encode(self._signer.public_key).decode() if self._signer else ""
        report = verify_bundle(bundle, verify_ed25519, key)
        passed = {step.name: step.result is StepResult.PASS for step in report.steps}
        return {
            "ok": True,
            **report.document(),
            "hash_verified": passed["bundle_hash"],
            "merkle_verified": passed["merkle_inclusion"],
        }


# --- one snapshot --------------------------------------------------------------------------------


def _get_deal_head(tx: Tx, deal_id: str) -> DealHead:
    deal = find_deal_head(tx, deal_id)
    if deal is None:
        raise DealNotFound(deal_id=deal_id)
    return deal


def _read_parts(tx: Tx, deal_id: str) -> BundleParts:
    """All parts; `head` and `inclusion` are None while no head covers the latest event."""
    _get_deal_head(tx, deal_id)
    events = load_chain(tx, deal_id)
    parts = BundleParts(
        deal_id=deal_id,
        proofs=[proof_document(proof) for proof in load_proofs(tx, deal_id)],
        events=[event_document(event) for event in events],
        inclusion=None,
        head=None,
        key_directory={},
        exported_at=tx.now,
    )
    anchor = _anchor(tx, events[-1]) if events else None
    if anchor is None:
        return parts
    return replace(parts, head=anchor.head, inclusion=anchor.inclusion)


def _anchor(tx: Tx, event: Event) -> _Anchor | None:
    """Prove the event under the last signed head; None when that does not cover it."""
    head = log_rows.find_head(tx)
    index = log_rows.find_index(tx, event.deal_id, event.version)
    if head is None or index is None or index >= head.tree_size:
        return None
    root = bytes.fromhex(head.root_hash)
    leaf = _leaf(event)
    proof = merkle.inclusion(index, head.tree_size, log_rows.TxHashes(tx))
    if not merkle.verify_inclusion(leaf, index, head.tree_size, proof, root):
        # What is stored is not what was signed. Nobody is served a proof that fails.
        raise CheckpointDiverged(tree_size=head.tree_size)
    return _Anchor(
        head=head,
        inclusion=inclusion_document(
            log_id=head.log_id,
            leaf=leaf,
            index=index,
            size=head.tree_size,
            root=root,
            proof=proof,
        ),
    )


def _leaf(event: Event) -> bytes:
    return merkle.event_leaf(
        deal_id=event.deal_id,
        event_type=event.event_type,
        event_id=event.event_id,
        event_hash=event.hash,
        timestamp=event.timestamp,
    )


def _build(parts: BundleParts) -> Document:
    try:
        return build_bundle(parts)
    except CanonicalForm as error:
        raise StoreCorrupt(where=f"deal {parts.deal_id}", reason=error.reason) from error


# --- documents -----------------------------------------------------------------------------------


def _stored_json(text: str, where: str) -> Json:
    try:
        return load_json(text)
    except CanonicalForm as error:
        raise StoreCorrupt(where=where, reason=error.reason) from error


def event_document(event: Event) -> dict[str, Json]:
    """An event as bundles show it: the seven hashed members, its hash, and the envelope."""
    document: dict[str, Json] = {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "deal_id": event.deal_id,
        "version": event.version,
        "actor_id": event.actor_id,
        "actor_role": event.actor_role,
        "counterparty_id": event.counterparty_id,
        "amount_minor": event.amount_minor,
        "asset": event.asset,
        "source": event.source,
        "timestamp": event.timestamp,
        "payload": _stored_json(event.payload, event.event_id),
        "prev_hash": event.prev_hash,
        "hash": event.hash,
    }
    if event.actor_signature is not None:
        document["actor_signature"] = _stored_json(event.actor_signature, event.event_id)
    return document


def proof_document(proof: Proof) -> dict[str, Json]:
    """A proof as bundles show it. Numbers that are no integers a browser can hold become text,
    as they are in the proof hash (spec §4.4), so that hash can be recomputed from this."""
    where = f"proof {proof.n} of {proof.deal_id}"
    return {
        "deal_id": proof.deal_id,
        "proof_index": proof.n,
        "proof_type": proof.proof_type,
        "proof_hash": proof.proof_hash,
        "proof_data": _exact(_stored_json(proof.proof_data, where)),
        "attachment_url": proof.attachment_url,
        "parent_proof_ids": _stored_json(proof.parent_proof_ids, where),
        "agent": proof.agent,
        "created_at": proof.created_at,
    }


def _exact(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _exact(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_exact(part) for part in value]
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, int) and not -K_INTEGER_MAX <= value <= K_INTEGER_MAX:
        return str(value)
    return value


# --- verification of what is stored --------------------------------------------------------------


def _verify_stored(tx: Tx, deal_id: str) -> Document:
    deal = _get_deal_head(tx, deal_id)
    events = load_chain(tx, deal_id)
    errors = chain_errors(events)
    if deal.version != len(events) or (events and deal.head_hash != events[-1].hash):
        errors.append("The chain does not end where the deal says it ends.")
    chain_integrity = not errors
    anchor = None
    try:
        anchor = _anchor_last_covered(tx, events)
    except (CheckpointDiverged, StoreCorrupt) as error:
        errors.append(error.detail)
    return {
        "ok": True,
        "deal_id": deal_id,
        "verified": not errors,
        "chain_integrity": chain_integrity,
        "event_count": len(events),
        "proof_count": count_proofs(tx, deal_id),
        "errors": errors,
        "chain_hash": events[-1].hash if events else "",
        "merkle_root": anchor.head.root_hash if anchor else "",
        "tree_size": anchor.head.tree_size if anchor else 0,
        "leaf_index": anchor.inclusion["leaf_index"] if anchor else None,
    }


def _anchor_last_covered(tx: Tx, events: Sequence[Event]) -> _Anchor | None:
    for event in reversed(events):
        anchor = _anchor(tx, event)
        if anchor is not None:
            return anchor
    return None


def chain_errors(events: Sequence[Event]) -> list[str]:
    """What is wrong with a chain: gaps, links, and hashes recomputed from the exact text."""
    errors = []
    previous = ""
    for at, event in enumerate(events):
        if event.version != at:
            errors.append(f"Event {at} has version {event.version}.")
        if event.prev_hash != previous:
            errors.append(f"Event {at} does not follow the one before it.")
        template = EventTemplate(
            deal_id=event.deal_id, actor_id=event.actor_id, timestamp=event.timestamp
        )
        text = template.text(event.event_id, event.event_type, event.payload, event.prev_hash)
        if sha256_hex(text) != event.hash:
            errors.append(f"Event {at} does not hash to what is stored.")
        previous = event.hash
    return errors
