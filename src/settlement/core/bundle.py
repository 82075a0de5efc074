"""Proof bundles: what a deal exports so that anyone can check it offline, and what its hash covers.

Guarantees: what we build holds no non-integer numbers and no proof member that would add a step to
another verifier; `spec_version` is 3.0.0 exactly when an event is signed by its actor.
Does not: verify - `bundle_check.py` does - or choose head and proof; both come at one tree size.

Spec §8, contract §4.1, §4.2, §4.7. Change colour: red (FORMAT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.canonical import Json, check_exact, compact_text, j_text, sha256_hex
from settlement.core.errors import CanonicalForm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.core.checkpoint import TreeHead

SPEC_PLAIN: Final = "2.0.0"
SPEC_SIGNED: Final = "3.0.0"
EVENT_MEMBERS: Final = (
    "event_id",
    "event_type",
    "deal_id",
    "actor_id",
    "timestamp",
    "payload",
    "prev_hash",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleParts:
    """What goes into a bundle. Inclusion and head are read at one tree size, or both absent."""

    deal_id: str
    proofs: Sequence[Mapping[str, Json]]
    events: Sequence[Mapping[str, Json]]
    inclusion: Mapping[str, Json] | None
    head: TreeHead | None
    key_directory: Mapping[str, Mapping[str, Json]]
    exported_at: str


def bundle_hash(
    spec_version: Json,
    deal_id: Json,
    proofs: Json,
    events: Json,
    inclusion: Json,
) -> str:
    """SHA-256 of the hashed members; without a spec_version, by the legacy rule."""
    members: dict[str, Json] = {
        "deal_id": deal_id,
        "proofs": proofs,
        "events": events,
        "merkle_inclusion": inclusion,
    }
    if not spec_version:
        return sha256_hex(j_text(members))
    return sha256_hex(compact_text({**members, "spec_version": spec_version}))


def inclusion_document(
    *, log_id: str, leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]
) -> dict[str, Json]:
    """The `merkle_inclusion` member of a bundle."""
    return {
        "leaf_hash": leaf.hex(),
        "leaf_index": index,
        "tree_size": size,
        "merkle_root": root.hex(),
        "proof": [{"hash": one.hex()} for one in proof],
        "log_id": log_id,
    }


def signing_bytes(event: Mapping[str, Json], key_id: str) -> bytes:
    """The bytes an actor's signature covers: the seven event members and the key id."""
    members: dict[str, Json] = {name: event[name] for name in EVENT_MEMBERS}
    members["payload"] = event["payload"] or {}
    members["prev_hash"] = event["prev_hash"] or ""
    members["key_id"] = key_id
    return compact_text(members).encode("ascii")


def build_bundle(parts: BundleParts) -> dict[str, Json]:
    """Build the document a deal exports; raises CanonicalForm for what must not be in one."""
    for event in parts.events:
        check_exact(event)
    for proof in parts.proofs:
        check_exact(proof)
        if "evidence" in proof:
            # The published verifier replays adapters on such a member; one of them fails the deal.
            raise CanonicalForm(reason="a bundle proof may not have a member named evidence")
    return assemble_bundle(parts)


def assemble_bundle(parts: BundleParts) -> dict[str, Json]:
    """As `build_bundle`, without its checks; for bundles others made."""
    signed = any(event.get("actor_signature") for event in parts.events)
    spec_version = SPEC_SIGNED if signed else SPEC_PLAIN
    proofs: list[Json] = [dict(proof) for proof in parts.proofs]
    events: list[Json] = [dict(event) for event in parts.events]
    document: dict[str, Json] = {
        "ok": True,
        "spec_version": spec_version,
        "bundle_type": "proof_bundle",
        "deal_id": parts.deal_id,
        "exported_at": parts.exported_at,
        "proofs": proofs,
        "events": events,
        "merkle_inclusion": parts.inclusion,
        "signed_tree_head": parts.head.document() if parts.head else None,
        "root_hash": parts.head.root_hash if parts.head else None,
    }
    if parts.key_directory:
        document["key_directory"] = dict(parts.key_directory)
    document["bundle_hash"] = bundle_hash(
        spec_version, parts.deal_id, proofs, events, parts.inclusion
    )
    return document


def key_directory(entries: Mapping[str, Mapping[str, Json]]) -> dict[str, Mapping[str, Json]]:
    """A directory that serves both readers: flat entries, and a `keys_by_key_id` copy."""
    return {**entries, "keys_by_key_id": dict(entries)} if entries else {}
