"""Bundles: what we build verifies here and by the published verifier; what was touched does not."""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any

import aigentsy_verify
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.core import bundle, canonical, checkpoint, hashes, merkle
from settlement.core.bundle_check import Level, StepResult, verify_bundle
from settlement.core.errors import CanonicalForm

if TYPE_CHECKING:
    from settlement.core.bundle_check import BundleReport

LOG = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG_KEY = base64.b64encode(LOG.public_key().public_bytes_raw()).decode()
ACTOR = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ACTOR_KEY = base64.b64encode(ACTOR.public_key().public_bytes_raw()).decode()


def ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def ours(document: Any, key: str = LOG_KEY) -> BundleReport:
    read = canonical.load_json(json.dumps(document))
    assert isinstance(read, dict)
    return verify_bundle(read, ed25519, key)


def theirs(document: Any, key: str = LOG_KEY) -> Any:
    return aigentsy_verify.verify_bundle(document, public_key_base64=key)


def chain(deal_id: str, *, signed: bool) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    prev = ""
    for at, kind in enumerate(("PROOF_READY", "GO_APPROVED", "SETTLED")):
        event: dict[str, Any] = {
            "event_id": f"evt_{at}",
            "event_type": kind,
            "deal_id": deal_id,
            "actor_id": "agent_é",
            "timestamp": f"2026-01-02T03:0{at}:05.000000Z",
            "payload": {"amount_minor": 9900, "note": "café", "part": {"n": [1, None, True]}},
            "prev_hash": prev,
        }
        prev = event["hash"] = hashes.event_hash(event)
        event["version"] = at
        if signed and at != 1:
            sign(event)
        events.append(event)
    return events


def sign(event: dict[str, Any]) -> None:
    signature = ACTOR.sign(bundle.signing_bytes(event, "key_1"))
    event["actor_signature"] = {
        "actor_id": event["actor_id"],
        "key_id": "key_1",
        "intent": "produced_work",
        "signature": base64.b64encode(signature).decode(),
    }


class Log:
    """Eleven leaves in one tile; the deal's last event is number 6."""

    def __init__(self, leaf: bytes) -> None:
        self.leaves = [merkle.leaf_hash(bytes([n])) for n in range(11)]
        self.leaves[6] = leaf

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        assert level == 0
        return self.leaves[start : start + count]


def made(*, signed: bool = False) -> dict[str, Any]:
    events = chain("deal_1", signed=signed)
    last = events[-1]
    leaf = merkle.event_leaf(
        deal_id=last["deal_id"],
        event_type=last["event_type"],
        event_id=last["event_id"],
        event_hash=last["hash"],
        timestamp=last["timestamp"],
    )
    log = Log(leaf)
    root = merkle.root_at(11, log)
    head = checkpoint.sign_head(
        LOG.sign,
        log_id=checkpoint.DEFAULT_LOG_ID,
        tree_size=11,
        root_hash=root.hex(),
        timestamp="2026-01-02T03:06:06.000000Z",
        key_id=checkpoint.DEFAULT_KEY_ID,
    )
    entry: dict[str, Any] = {
        "actor_id": "agent_é",
        "public_key_base64": ACTOR_KEY,
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "revoked_at": None,
        "status": "active",
    }
    parts = bundle.BundleParts(
        deal_id="deal_1",
        proofs=[{"id": "proof_1", "type": "ad_mock", "proof_hash": "a" * 64}],
        events=events,
        inclusion=bundle.inclusion_document(
            log_id=checkpoint.DEFAULT_LOG_ID,
            leaf=leaf,
            index=6,
            size=11,
            root=root,
            proof=merkle.inclusion(6, 11, log),
        ),
        head=head,
        key_directory=bundle.key_directory({"key_1": entry}) if signed else {},
        exported_at="2026-01-02T03:06:07.000000Z",
    )
    document: Any = bundle.build_bundle(parts)
    return json.loads(json.dumps(document))  # type: ignore[no-any-return]  # an object, just made


def hash_of(document: dict[str, Any]) -> str:
    """The hash a bundle with these members must claim."""
    return bundle.bundle_hash(
        document.get("spec_version"),
        document["deal_id"],
        document["proofs"],
        document["events"],
        document["merkle_inclusion"],
    )


def rehash(document: dict[str, Any]) -> None:
    """What a forger does after a change: make chain and bundle hash agree again."""
    prev = ""
    for event in document["events"]:
        event["prev_hash"] = prev
        prev = event["hash"] = hashes.event_hash(event)
    document["bundle_hash"] = hash_of(document)


@pytest.mark.parametrize("signed", [False, True])
def test_what_we_build_verifies_in_full(*, signed: bool) -> None:
    """Catches separators, escapes or a leaf the published verifier does not share."""
    document = made(signed=signed)
    report, published = ours(document), theirs(document)
    assert (report.verified, report.level) == (True, Level.FULL)
    assert published["verified"]
    assert published["verification_level"] == "full"
    assert [step.name for step in report.steps] == list(published["steps"])
    assert document["spec_version"] == ("3.0.0" if signed else "2.0.0")


@pytest.mark.parametrize("signed", [False, True])
def test_without_a_key_the_head_is_skipped_not_passed(*, signed: bool) -> None:
    """Catches a missing key counted as a good signature."""
    report = ours(made(signed=signed), key="")
    assert report.step("sth_signature").result is StepResult.SKIP
    assert (report.verified, report.level) == (True, Level.PARTIAL)


def test_a_bundle_without_an_anchor_says_so() -> None:
    """Catches a bundle of hashes alone that looks anchored."""
    document = made()
    document["merkle_inclusion"] = None
    document["signed_tree_head"] = None
    rehash(document)
    report = ours(document)
    assert (report.verified, report.level) == (True, Level.NONE)
    assert report.document()["steps_skipped"] == theirs(document)["steps_skipped"] == 3


def leaves_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [p for name, part in value.items() for p in leaves_of(part, (*path, name))]
    if isinstance(value, list):
        return [p for at, part in enumerate(value) for p in leaves_of(part, (*path, at))]
    return [path]


def put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = value


def get(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


BUNDLES = {signed: made(signed=signed) for signed in (False, True)}
COVERED = ("spec_version", "deal_id", "proofs", "events", "merkle_inclusion", "bundle_hash")
HEAD = [("signed_tree_head", part) for part in ("log_id", "tree_size", "root_hash", "timestamp")]
DIRECTORY = [("key_directory", "key_1", part) for part in ("actor_id", "public_key_base64")]


def covered(document: Any, *, signed: bool) -> list[tuple[Any, ...]]:
    paths = [path for path in leaves_of(document) if path[0] in COVERED]
    return [*paths, *HEAD, ("signed_tree_head", "signature"), *(DIRECTORY if signed else [])]


def touched(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return 7
    return value + 1 if isinstance(value, int) else ("B" if value[:1] == "A" else "A") + value[1:]


@pytest.mark.parametrize("signed", [False, True])
def test_any_touched_member_fails(*, signed: bool) -> None:
    """Catches a member that the hashes and signatures do not reach."""
    for path in covered(BUNDLES[signed], signed=signed):
        document = copy.deepcopy(BUNDLES[signed])
        put(document, path, touched(get(document, path)))
        assert not ours(document).verified, path
        assert not theirs(document)["verified"], path


def test_a_rehashed_forgery_is_not_in_the_log() -> None:
    """Catches a verifier that proves some leaf, but not that it is one of this bundle."""
    document = made()
    document["events"][2]["payload"]["amount_minor"] = 1
    rehash(document)
    report = ours(document)
    assert report.step("event_chain").result is StepResult.PASS
    assert report.step("bundle_hash").result is StepResult.PASS
    assert report.step("cross_reference").result is StepResult.FAIL
    assert not report.verified
    assert not theirs(document)["verified"]


def test_events_behind_the_anchored_one_are_counted_as_nobodys_word() -> None:
    """Catches a report in which a SETTLED that somebody appended looks like the log's own."""
    document = made()
    honest = ours(document)
    assert honest.anchored_events == honest.event_count == len(document["events"])
    last = document["events"][-1]
    forged = {**last, "event_id": "evt_forged", "event_type": "SETTLED", "prev_hash": last["hash"]}
    forged["hash"] = hashes.event_hash(forged)
    document["events"].append(forged)
    rehash(document)
    report = ours(document)
    assert report.verified == theirs(document)["verified"] is True  # the published verdict
    assert (report.anchored_events, report.event_count) == (
        honest.event_count,
        len(document["events"]),
    )
    assert ours(document, key="").anchored_events == 0


def test_a_chain_with_an_event_left_out_is_broken() -> None:
    """Catches events that hash one by one but do not follow each other."""
    document = made()
    del document["events"][1]
    document["bundle_hash"] = hash_of(document)
    report = ours(document)
    assert report.step("bundle_hash").result is StepResult.PASS
    assert report.step("event_chain").result is StepResult.FAIL
    assert not theirs(document)["verified"]


def test_a_good_head_of_another_tree_is_refused() -> None:
    """Catches a proof and a head that are each right, but not of one tree."""
    document = made()
    head = document["signed_tree_head"]
    other = merkle.leaf_hash(b"another log").hex()
    text = checkpoint.sth_text(head["log_id"], head["tree_size"], other, head["timestamp"])
    head["root_hash"] = other
    head["signature"] = base64.b64encode(LOG.sign(text.encode())).decode()
    report = ours(document)
    assert report.step("sth_signature").result is StepResult.PASS
    assert report.step("cross_reference").result is StepResult.FAIL
    assert not theirs(document)["verified"]


def test_two_events_with_one_leaf_are_ambiguous() -> None:
    """Catches a leaf bound to the first event that matches."""
    document = made()
    document["events"].append(copy.deepcopy(document["events"][2]))
    document["bundle_hash"] = hash_of(document)
    assert ours(document).step("cross_reference").result is StepResult.FAIL
    assert theirs(document)["steps"]["cross_reference"]["leaf_binding"] == "anchor_ambiguous"


@pytest.mark.parametrize(
    ("changes", "verified"),
    [
        ({"issued_at": "2026-01-02T03:00:05.000000Z"}, True),
        ({"issued_at": "2026-01-02T03:00:05.000001Z"}, False),
        ({"revoked_at": "2026-01-02T03:02:05.000000Z"}, False),
        ({"revoked_at": "2026-01-02T03:02:05.000001Z"}, True),
        ({"actor_id": "agent_other"}, False),
        ({"actor_id": ""}, True),
        ({"issued_at": ""}, False),
        ({"revoked_at": ""}, False),
        ({"public_key_base64": LOG_KEY}, False),
        ({"public_key_base64": "%%%"}, False),
    ],
)
def test_a_signing_key_counts_only_while_valid(changes: dict[str, Any], *, verified: bool) -> None:
    """Catches <= for < at revocation, and a signature by another actor's key."""
    document = made(signed=True)
    document["key_directory"]["key_1"].update(changes)
    assert ours(document).verified is verified
    assert theirs(document)["verified"] is verified


@pytest.mark.parametrize(
    ("payloads", "verified"),
    [
        (({"identity_hash": "x", "decision": "authorized"}, {"identity_hash": "x"}), True),
        (({"identity_hash": "x", "decision": "authorized"}, {"identity_hash": "y"}), False),
        (({"identity_hash": "x", "decision": "denied"}, {"identity_hash": "y"}), True),
        (
            (
                {"identity_hash": "x", "decision": "authorized"},
                {"consequence_identity_hash": "x", "identity_hash": "y"},
            ),
            True,
        ),
        (({"identity_hash": "x", "decision": "authorized"}, {}), True),
    ],
)
def test_a_consequence_must_be_the_authorized_one(
    payloads: tuple[dict[str, Any], dict[str, Any]], *, verified: bool
) -> None:
    """Catches a skipped step that hides a failure: the rule needs no anchor."""
    document = made()
    first, second = document["events"][:2]
    first["event_type"] = "CONSEQUENCE_AUTHORIZED"
    first["payload"], second["payload"] = payloads
    document["merkle_inclusion"] = None
    rehash(document)
    assert ours(document).verified is verified
    assert theirs(document)["verified"] is verified


WEIRD: list[Any] = [None, True, -1, 0, 3, "", "x", "A" * 64, "0" * 64, [], ["x"], {}, {"hash": 1}]


@given(st.booleans(), st.data())
@settings(max_examples=400, deadline=None)
def test_hostile_bundles_get_the_published_verdict(signed: bool, data: st.DataObject) -> None:  # noqa: FBT001  # hypothesis passes it
    """Catches any difference of verdict, and an exception in place of one."""
    document = copy.deepcopy(BUNDLES[signed])
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(leaves_of(document)))
        path = path[: data.draw(st.integers(1, len(path)))]
        put(document, path, copy.deepcopy(data.draw(st.sampled_from(WEIRD))))
    if data.draw(st.booleans()):
        try:
            rehash(document)
        except (CanonicalForm, TypeError, KeyError, AttributeError):
            return
    verdict = ours(document).verified
    if not all(isinstance(document[name], list) for name in ("proofs", "events")):
        assert not verdict, "a bundle has lists of proofs and events"
        return
    try:
        published = theirs(document)["verified"]
    except (AttributeError, TypeError, KeyError, ValueError):
        assert not verdict, "where the published verifier breaks down, ours refuses"
        return
    assert verdict == published


def test_what_would_poison_a_bundle_is_not_built() -> None:
    """Catches caller data that makes the published verifier run one more step, and fractions."""
    parts: dict[str, Any] = {
        "deal_id": "deal_1",
        "proofs": [],
        "events": [],
        "inclusion": None,
        "head": None,
        "key_directory": {},
        "exported_at": "t",
    }
    with pytest.raises(CanonicalForm):
        bundle.build_bundle(bundle.BundleParts(**{**parts, "proofs": [{"evidence": {}}]}))
    fraction = canonical.load_json('{"payload": {"x": 1.5}}')
    for name in ("proofs", "events"):
        with pytest.raises(CanonicalForm):
            bundle.build_bundle(bundle.BundleParts(**{**parts, name: [fraction]}))
    assert "key_directory" not in bundle.build_bundle(bundle.BundleParts(**parts))
    assert bundle.key_directory({}) == {}


def test_the_legacy_hash_has_its_own_separators() -> None:
    """Catches the compact form used where spec_version is absent."""
    document = made()
    del document["spec_version"]
    document["bundle_hash"] = hash_of(document)
    assert ours(document).verified
    assert theirs(document)["verified"]
