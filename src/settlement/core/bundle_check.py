"""The offline check of a proof bundle, step by step, for bundles of ours and of others.

Guarantees: the verdict equals that of the published verifier, but that proofs or events which are
no lists are refused; every step says pass, fail or skip and why in a sentence; hostile input gives
a failing step, never an exception.
Does not: check signatures itself (a callable does), fetch keys, or judge whether the work was good.

Spec §8, contract §4.3 to §4.7. Change colour: red (FORMAT).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from settlement.core import merkle
from settlement.core.bundle import EVENT_MEMBERS, SPEC_SIGNED, bundle_hash, signing_bytes
from settlement.core.canonical import Json, j_text, sha256_hex
from settlement.core.checkpoint import ED25519
from settlement.core.errors import CanonicalForm
from settlement.core.hashes import Scalar, python_str

if TYPE_CHECKING:
    from settlement.core.checkpoint import VerifySignature

_EVENT_DEFAULTS: Final[Mapping[str, Json]] = dict.fromkeys(EVENT_MEMBERS, "") | {"payload": {}}
#: In the order of the signed text (`checkpoint.sth_text`).
_HEAD_DEFAULTS: Final[Mapping[str, Scalar]] = {
    "log_id": "",
    "tree_size": 0,
    "root_hash": "",
    "timestamp": "",
}
_HEX64: Final = re.compile(r"[0-9a-fA-F]{64}")
_PUBLIC_KEY_BYTES: Final = 32


class StepResult(StrEnum):
    """How a step came out; skipped means not evaluated, never failed but ignored."""

    PASS = "pass"  # noqa: S105  # a verdict, not a password
    FAIL = "fail"
    SKIP = "skip"


class Level(StrEnum):
    """How much was checked: every step, some of the optional ones, or none of them."""

    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a verification, with a sentence why."""

    name: str
    result: StepResult
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleReport:
    """The verdict on a bundle. `level` says how much was checked, nothing about `verified`.

    anchored_events: how many of the first events the signed head vouches for. A chain commits
    backwards only, so the published verdict holds for whatever somebody appends behind them.
    """

    deal_id: Json
    spec_version: Json
    proof_count: int
    event_count: int
    anchored_events: int
    steps: tuple[Step, ...]
    level: Level
    verified: bool

    def step(self, name: str) -> Step:
        """The step of that name."""
        return next(step for step in self.steps if step.name == name)

    def document(self) -> dict[str, Json]:
        """The JSON form."""
        run = sum(step.result is not StepResult.SKIP for step in self.steps)
        return {
            "verified": self.verified,
            "verification_level": self.level.value,
            "deal_id": self.deal_id,
            "spec_version": self.spec_version,
            "proof_count": self.proof_count,
            "event_count": self.event_count,
            "anchored_events": self.anchored_events,
            "steps_run": run,
            "steps_skipped": len(self.steps) - run,
            "steps": {
                step.name: {
                    "passed": step.result is StepResult.PASS,
                    "skipped": step.result is StepResult.SKIP,
                    "why": step.why,
                }
                for step in self.steps
            },
        }


def verify_bundle(
    bundle: Mapping[str, Json], verify: VerifySignature, public_key_base64: str = ""
) -> BundleReport:
    """Check a bundle read by `canonical.load_json`; without a public key the head step is skipped.

    `bundle_hash` and `event_chain` must pass; of the others none may fail.
    """
    events, proofs = bundle.get("events", []), bundle.get("proofs", [])
    head = bundle.get("signed_tree_head")
    anchor = bundle.get("merkle_inclusion")
    rows = events if isinstance(events, (list, tuple)) else []
    steps = [
        _check_hash(bundle),
        _check_chain(events),
        _check_inclusion(anchor),
        _check_head(head, verify, public_key_base64),
        _check_cross_reference(rows, anchor, head),
    ]
    if bundle.get("spec_version") == SPEC_SIGNED:
        steps.append(_check_signatures(rows, bundle.get("key_directory"), verify))
    skipped = [step for step in steps if step.result is StepResult.SKIP]
    optional = len(steps) - 2
    level = Level.NONE if len(skipped) == optional else Level.PARTIAL
    return BundleReport(
        deal_id=bundle.get("deal_id", ""),
        spec_version=bundle.get("spec_version"),
        proof_count=len(proofs) if isinstance(proofs, (list, tuple)) else 0,
        event_count=len(rows),
        anchored_events=_count_anchored(rows, anchor, steps),
        steps=tuple(steps),
        level=level if skipped else Level.FULL,
        verified=all(step.result is not StepResult.FAIL for step in steps),
    )


def _count_anchored(events: Sequence[Json], anchor: Json, steps: Sequence[Step]) -> int:
    """Events up to the anchored one, when chain, inclusion, head and their match all pass."""
    if any(step.result is not StepResult.PASS for step in steps[1:5]):
        return 0
    assert isinstance(anchor, Mapping), "the inclusion step has passed"
    leaves = [_leaf_of(event) for event in events]
    return leaves.index(str(anchor["leaf_hash"])) + 1


def _passed(name: str, why: str) -> Step:
    return Step(name=name, result=StepResult.PASS, why=why)


def _failed(name: str, why: str) -> Step:
    return Step(name=name, result=StepResult.FAIL, why=why)


def _skipped(name: str, why: str) -> Step:
    return Step(name=name, result=StepResult.SKIP, why=why)


def _check_hash(bundle: Mapping[str, Json]) -> Step:
    name = "bundle_hash"
    if not isinstance(bundle.get("proofs", []), (list, tuple)):
        return _failed(name, "The proofs are not a list.")
    try:
        computed = bundle_hash(
            bundle.get("spec_version"),
            bundle.get("deal_id", ""),
            bundle.get("proofs", []),
            bundle.get("events", []),
            bundle.get("merkle_inclusion"),
        )
    except CanonicalForm as error:
        return _failed(name, f"The bundle cannot be hashed: {error.reason}.")
    if computed != bundle.get("bundle_hash", ""):
        return _failed(name, f"The bundle hashes to {computed}, which is not what it claims.")
    return _passed(name, "The bundle hashes to what it claims.")


def _check_chain(events: Json) -> Step:
    name = "event_chain"
    if not isinstance(events, (list, tuple)):
        return _failed(name, "The events are not a list.")
    previous: Json = None
    for at, event in enumerate(events):
        if not isinstance(event, Mapping):
            return _failed(name, f"Event {at} is not an object.")
        members = {part: event.get(part, _EVENT_DEFAULTS[part]) for part in EVENT_MEMBERS}
        try:
            computed = sha256_hex(j_text(members))
        except CanonicalForm as error:
            return _failed(name, f"Event {at} cannot be hashed: {error.reason}.")
        if event.get("hash") != computed:
            return _failed(name, f"Event {at} does not hash to what it claims.")
        if at and event.get("prev_hash") != previous:
            return _failed(name, f"Event {at} does not follow event {at - 1}.")
        previous = computed
    return _passed(name, f"All {len(events)} events hash and link.")


def _is_index(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _hex_bytes(value: Json) -> bytes | None:
    if isinstance(value, str) and _HEX64.fullmatch(value):
        return bytes.fromhex(value)
    return None


def _check_inclusion(anchor: Json) -> Step:
    name = "merkle_inclusion"
    if not anchor:
        return _skipped(name, "The bundle has no inclusion proof.")
    if not isinstance(anchor, Mapping):
        return _failed(name, "The inclusion proof is not an object.")
    index, size = anchor.get("leaf_index"), anchor.get("tree_size")
    leaf, root = _hex_bytes(anchor.get("leaf_hash")), _hex_bytes(anchor.get("merkle_root"))
    nodes = anchor.get("proof", [])
    if not isinstance(nodes, (list, tuple)):
        return _failed(name, "The inclusion proof has no list of nodes.")
    path = [_hex_bytes(node.get("hash") if isinstance(node, Mapping) else node) for node in nodes]
    found = [node for node in path if node is not None]
    whole = leaf is not None and root is not None and len(found) == len(path)
    if not (whole and _is_index(index) and _is_index(size)):
        return _failed(name, "The inclusion proof is malformed.")
    assert isinstance(index, int)
    assert isinstance(size, int)
    assert leaf is not None
    assert root is not None
    # The published verifier compares the root as text, so upper-case digits do not verify.
    if root.hex() != anchor.get("merkle_root") or not merkle.verify_inclusion(
        leaf, index, size, found, root
    ):
        return _failed(name, "The leaf is not in the tree under that root.")
    return _passed(name, f"The leaf is number {index} of a tree of {size}.")


def _spelled(head: Mapping[str, Json], name: str, default: Scalar) -> str:
    """A head's member as the signed text spells it, whatever its type: the signature decides."""
    value = head.get(name, default)
    if isinstance(value, (list, tuple, Mapping)):
        raise CanonicalForm(reason=f"{name} is not a plain value")
    return python_str(value)


def _check_head(head: Json, verify: VerifySignature, public_key_base64: str) -> Step:
    name = "sth_signature"
    if not head or not public_key_base64:
        return _skipped(name, "No signed tree head, or no public key to check it with.")
    if not isinstance(head, Mapping):
        return _failed(name, "The signed tree head is not an object.")
    if head.get("algorithm", ED25519) != ED25519:
        return _failed(name, "The signed tree head is not signed with Ed25519.")
    try:
        message = "|".join(_spelled(head, part, _HEAD_DEFAULTS[part]) for part in _HEAD_DEFAULTS)
        signature = base64.b64decode(_spelled(head, "signature", ""))
        public_key = base64.b64decode(public_key_base64)
        good = len(public_key) == _PUBLIC_KEY_BYTES and verify(
            public_key, message.encode(), signature
        )
    except (binascii.Error, ValueError, CanonicalForm):
        good = False
    if not good:
        return _failed(name, "The tree head is not signed by that key.")
    return _passed(name, "The tree head is signed by the log's key.")


def _leaf_of(event: Json) -> str | None:
    """The leaf hash of one event, or None when it could not be a leaf."""
    if not isinstance(event, Mapping):
        return None
    wanted = ("deal_id", "event_type", "event_id", "timestamp", "hash")
    texts = {name: text for name in wanted if isinstance(text := event.get(name), str) and text}
    if len(texts) != len(wanted):
        return None
    try:
        leaf = merkle.event_leaf(event_hash=texts.pop("hash"), **texts)
    except CanonicalForm:
        return None
    return leaf.hex()


def _unauthorized_consequence(events: Sequence[Json]) -> bool:
    """Tell whether an event names a consequence that no authorization in the bundle covers."""
    authorized: set[str] = set()
    named: list[str] = []
    for event in events:
        payload = event.get("payload") if isinstance(event, Mapping) else None
        if not isinstance(event, Mapping) or not isinstance(payload, Mapping):
            continue
        identity = payload.get("identity_hash")
        if event.get("event_type") == "CONSEQUENCE_AUTHORIZED":
            if isinstance(identity, str) and identity and payload.get("decision") == "authorized":
                authorized.add(identity)
            continue
        for reference in (payload.get("consequence_identity_hash"), identity):
            if isinstance(reference, str) and reference:
                named.append(reference)
                break
    return bool(authorized) and any(reference not in authorized for reference in named)


def _check_cross_reference(events: Sequence[Json], anchor: Json, head: Json) -> Step:
    name = "cross_reference"
    if _unauthorized_consequence(events):
        # This needs no anchor, so it fails even where the rest of the step would be skipped.
        return _failed(name, "An event names a consequence that nothing in the bundle authorizes.")
    if not anchor or not head:
        return _skipped(name, "Inclusion proof or signed tree head is absent.")
    if not isinstance(anchor, Mapping) or not isinstance(head, Mapping):
        return _failed(name, "Inclusion proof or signed tree head is malformed.")
    if anchor.get("merkle_root") != head.get("root_hash"):
        return _failed(name, "Inclusion proof and tree head are of different trees.")
    claimed = anchor.get("leaf_hash")
    matches = sum(claimed is not None and _leaf_of(event) == claimed for event in events)
    if matches != 1:
        return _failed(name, f"The leaf is that of {matches} events of the bundle, not of one.")
    return _passed(name, "The signed tree holds exactly one event of this bundle at that leaf.")


def _check_signatures(events: Sequence[Json], directory: Json, verify: VerifySignature) -> Step:
    name = "actor_signatures"
    keys = directory if isinstance(directory, Mapping) else {}
    signed = 0
    for at, event in enumerate(events):
        mark = event.get("actor_signature") if isinstance(event, Mapping) else None
        if not (isinstance(event, Mapping) and isinstance(mark, Mapping) and mark.get("signature")):
            continue
        signed += 1
        why = _signature_fault(event, mark, keys, verify)
        if why:
            return _failed(name, f"Event {at}: {why}.")
    if not signed:
        return _skipped(name, "No event is signed by its actor.")
    return _passed(name, f"All {signed} signed events verify under keys valid at their time.")


def _signature_fault(
    event: Mapping[str, Json],
    mark: Mapping[str, Json],
    keys: Mapping[str, Json],
    verify: VerifySignature,
) -> str:
    """Why the signature does not count, or an empty string."""
    key_id = mark.get("key_id") or event.get("key_id")
    entry = keys.get(key_id) if isinstance(key_id, str) else None
    if not isinstance(key_id, str) or not isinstance(entry, Mapping):
        return "its key is not in the directory"
    if not _valid_at(entry, event.get("timestamp")):
        return "its key was not valid at that time"
    try:
        public_key = base64.b64decode(str(entry.get("public_key_base64")), validate=True)
        signature = base64.b64decode(str(mark.get("signature")), validate=True)
        message = signing_bytes(event, key_id)
    except (binascii.Error, ValueError, KeyError, CanonicalForm):
        return "key, signature or event is malformed"
    if len(public_key) != _PUBLIC_KEY_BYTES or not verify(public_key, message, signature):
        return "the signature does not verify"
    owner, actor = entry.get("actor_id"), event.get("actor_id")
    if owner and actor and owner != actor:
        return "its key belongs to another actor"
    return ""


def _valid_at(entry: Mapping[str, Json], timestamp: Json) -> bool:
    """issued_at <= timestamp < revoked_at, as text: one time form everywhere makes that right."""
    issued, revoked = entry.get("issued_at"), entry.get("revoked_at")
    if not isinstance(issued, str) or not issued or not isinstance(timestamp, str):
        return False
    return issued <= timestamp and (
        revoked is None or (isinstance(revoked, str) and timestamp < revoked)
    )
