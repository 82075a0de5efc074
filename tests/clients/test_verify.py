"""aigentsy-verify, as a function and as a command, on bundles a running server exported.

Full and verified right after a stamp, after a settlement, and again when the log has grown; and any
changed member that the verifier covers makes it fail.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aigentsy import SigningKeypair
from aigentsy_verify import compute_bundle_hash, verify_bundle

from settlement.core import merkle
from tests.clients.sdk import SyncSdk
from tests.support import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.server import Server

    Bundle = dict[str, Any]

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def agent(server: Server) -> Iterator[SyncSdk]:
    """A registered agent whose key settles."""
    with SyncSdk(server.url) as client:
        client.registered()
        yield client


@pytest.fixture(scope="module")
def key(server: Server) -> dict[str, Any]:
    """The published key of the log."""
    found: dict[str, Any] = server.get("/protocol/merkle/public-key")
    return found


def export(server: Server, deal: str) -> Bundle:
    bundle: Bundle = server.get(f"/protocol/proofs/{deal}/export")
    assert bundle["ok"] is True
    return bundle


def verdict(bundle: Bundle, key: dict[str, Any]) -> tuple[bool, str, int]:
    """Verified, level, steps run: as the function says."""
    result = verify_bundle(bundle, public_key_base64=key["public_key_base64"])
    return result["verified"], result["verification_level"], result["steps_run"]


def by_command(
    directory: Path, bundle: Bundle, key: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    """`aigentsy-verify bundle FILE --strict --public-key KEYFILE`."""
    (directory / "bundle.json").write_text(json.dumps(bundle))
    (directory / "key.json").write_text(json.dumps(key))
    files = [str(directory / "bundle.json"), "--public-key", str(directory / "key.json")]
    return subprocess.run(
        [sys.executable, "-m", "aigentsy_verify", "bundle", *files, "--strict"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settled_deal(agent: SyncSdk) -> str:
    """A deal with six events or so."""
    pack = agent.approved(agent.agent_id, proof_data={"preview_url": "https://example.com/é"})
    deal: str = pack["deal_id"]
    proof = (deal, pack["proof_hash"], "creative_preview", "content")
    agent.ok("verify_proof", *proof, {"preview_url": "https://example.com/é"})
    agent.ok("settle", deal, pack["approved"], agent.agent_id, "buyer")
    return deal


def test_a_bundle_is_full_after_a_stamp_after_settling_and_when_the_log_has_grown(
    agent: SyncSdk, server: Server, key: dict[str, Any], tmp_path: Path
) -> None:
    """Catches: a fresh stamp exported unanchored; proof and head of two tree sizes; a bundle that
    anchors an early event and so says nothing about the later ones."""
    deal = agent.ok("stamp", agent.agent_id, "work")["deal_id"]
    fresh = export(server, deal)
    assert [event["event_type"] for event in fresh["events"]] == ["PROOF_READY"]
    agent.ok("settle", deal, 100, agent.agent_id, "buyer")
    after = export(server, deal)
    assert "SETTLED" in [event["event_type"] for event in after["events"]]
    for _ in range(5):
        agent.ok("stamp", agent.agent_id, "other work")
    other = settled_deal(agent)
    export(server, other)
    grown = export(server, deal)
    assert grown["signed_tree_head"]["tree_size"] > after["signed_tree_head"]["tree_size"]
    for bundle in (fresh, after, grown):
        assert verdict(bundle, key) == (True, "full", 5)
        wire.chain_holds(bundle["events"])
        head, inclusion = bundle["signed_tree_head"], bundle["merkle_inclusion"]
        assert head["tree_size"] == inclusion["tree_size"]
        done = by_command(tmp_path, bundle, key)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "level:            full (5/5 steps)" in done.stdout
    assert grown["events"] == after["events"]


def test_the_public_proof_page_is_a_bundle(
    agent: SyncSdk, server: Server, key: dict[str, Any], tmp_path: Path
) -> None:
    """Catches: counts that change the bundle's hash, or a page that differs from the export."""
    deal = settled_deal(agent)
    page = server.get(f"/proof/{deal}")
    assert (page["proof_count"], page["event_count"]) == (1, len(page["events"]))
    assert verdict(page, key) == (True, "full", 5)
    assert by_command(tmp_path, page, key).returncode == 0
    assert [event["event_type"] for event in page["events"]] == [
        event["event_type"] for event in export(server, deal)["events"]
    ]


def test_a_pack_made_without_a_key_verifies_too(server: Server, key: dict[str, Any]) -> None:
    """Catches: proof that depends on being authenticated; only consequence does."""
    with SyncSdk(server.url) as nobody:
        deal = nobody.ok("create_proof_pack", "a_label_only")["deal_id"]
    assert verdict(export(server, deal), key) == (True, "full", 5)


def test_nothing_in_a_bundle_is_a_fraction(agent: SyncSdk, server: Server) -> None:
    """Catches: a float in hashed content, which a store or a client would print differently."""

    def numbers(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            for part in value.values():
                yield from numbers(part)
        elif isinstance(value, list):
            for part in value:
                yield from numbers(part)
        else:
            yield value

    bundle = export(server, settled_deal(agent))
    assert not [value for value in numbers(bundle) if isinstance(value, float)]
    assert not [proof for proof in bundle["proofs"] if "evidence" in proof]


# --- changed members -----------------------------------------------------------------------------


def other(value: Any) -> Any:
    """A value of the same type that is another."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case dict():
            return {**value, "added": "x"}
        case list():
            return [*value, "0" * 64]
        case None:
            return "x"
    text = str(value)
    last = "0" if text.endswith("1") else "1"
    return text[:-1] + last if text else "x"


def changes() -> Iterator[tuple[str, Callable[[Bundle], None]]]:
    """Every change of one member that the bundle's hashes and signature cover."""

    def changing(*path: str | int) -> Callable[[Bundle], None]:
        def change(bundle: Bundle) -> None:
            *way, last = path
            where: Any = bundle
            for step in way:
                where = where[step]
            if last == "signature":  # base64: the first letter carries whole bits
                where[last] = ("B" if where[last][0] == "A" else "A") + where[last][1:]
            else:
                where[last] = other(where[last])

        return change

    for name in ("deal_id", "spec_version", "bundle_hash", "proofs"):
        yield name, changing(name)
    for at in (0, 2, -1):
        for name in (*wire.HASHED, "hash", "counterparty_id", "amount_minor", "asset", "source"):
            yield f"events[{at}].{name}", changing("events", at, name)
    for name in ("leaf_hash", "leaf_index", "tree_size", "merkle_root", "proof"):
        yield f"merkle_inclusion.{name}", changing("merkle_inclusion", name)
    for name in ("log_id", "tree_size", "root_hash", "timestamp", "signature"):
        yield f"signed_tree_head.{name}", changing("signed_tree_head", name)
    yield "an event less", lambda bundle: bundle["events"].pop()
    yield "an event more", lambda bundle: bundle["events"].append(dict(bundle["events"][-1]))
    yield "events in another order", lambda bundle: bundle["events"].reverse()


def test_any_changed_member_fails(
    agent: SyncSdk, server: Server, key: dict[str, Any], tmp_path: Path
) -> None:
    """Catches: content that no hash covers, so that a bundle can be edited and still verify."""
    bundle = export(server, settled_deal(agent))
    assert verdict(bundle, key)[0] is True
    passed = []
    for name, change in changes():
        forged = copy.deepcopy(bundle)
        change(forged)
        assert forged != bundle, f"{name} was not changed"
        if verdict(forged, key)[0]:
            passed.append(name)
    assert passed == []
    forged["events"] = []
    assert by_command(tmp_path, forged, key).returncode == 1


def test_a_rewritten_history_fails_even_with_its_hashes_repaired(
    agent: SyncSdk, server: Server, key: dict[str, Any]
) -> None:
    """Catches: a bundle anchored by an early event, whose later ones could be rewritten freely."""
    bundle = export(server, settled_deal(agent))
    for at in range(len(bundle["events"])):
        forged = copy.deepcopy(bundle)
        forged["events"][at]["actor_id"] = "agent_of_the_forger"
        previous = ""
        for event in forged["events"]:
            event["prev_hash"] = previous
            event["hash"] = previous = wire.event_hash(event)
        forged["bundle_hash"] = compute_bundle_hash(
            forged["deal_id"],
            forged["proofs"],
            forged["events"],
            forged["merkle_inclusion"],
            spec_version=forged["spec_version"],
        )
        result = verify_bundle(forged, public_key_base64=key["public_key_base64"])
        assert result["steps"]["bundle_hash"]["passed"]
        assert result["steps"]["event_chain"]["passed"]
        assert result["verified"] is False, f"event {at} can be rewritten"


def test_another_key_does_not_verify(
    agent: SyncSdk, server: Server, key: dict[str, Any], tmp_path: Path
) -> None:
    """Catches: a verification that never looked at the signature."""
    bundle = export(server, agent.ok("stamp", agent.agent_id, "work")["deal_id"])
    pair = SigningKeypair.generate(print_notice=False)
    stranger = {**key, "public_key_base64": pair.public_key_base64}
    assert verdict(bundle, stranger)[0] is False
    assert by_command(tmp_path, bundle, stranger).returncode == 1


# --- the log's own pages -------------------------------------------------------------------------


def test_the_log_only_ever_appends(agent: SyncSdk, server: Server) -> None:
    """Catches: a consistency route that proves other trees than the heads we signed.

    Checked with our own checker: the published one refuses correct proofs (defect 4).
    """
    heads = []
    for _ in range(4):
        bundle = export(server, settled_deal(agent))
        heads.append(bundle["signed_tree_head"])
    for old in heads:
        for new in heads:
            first, second = old["tree_size"], new["tree_size"]
            if first > second:
                continue
            page = server.get(f"/protocol/merkle/consistency?first={first}&second={second}")
            roots = [bytes.fromhex(head["root_hash"]) for head in (old, new)]
            proof = [bytes.fromhex(one) for one in page["proof"]]
            assert merkle.verify_consistency(first, second, roots[0], roots[1], proof)
            if first < second:
                assert not merkle.verify_consistency(first, second, roots[1], roots[0], proof)
        assert (
            server.get(f"/protocol/merkle/sth/{old['tree_size']}")["root_hash"]
            == (old["root_hash"])
        )


def test_any_leaf_is_proven_included(agent: SyncSdk, server: Server) -> None:
    """Catches: an inclusion route whose index or size is off by one."""
    bundle = export(server, settled_deal(agent))
    inclusion, head = bundle["merkle_inclusion"], bundle["signed_tree_head"]
    size = head["tree_size"]
    index = inclusion["leaf_index"]
    page = server.get(f"/protocol/merkle/inclusion?leaf_index={index}&tree_size={size}")
    proof = [bytes.fromhex(one) for one in page["proof"]]
    leaf, root = bytes.fromhex(inclusion["leaf_hash"]), bytes.fromhex(head["root_hash"])
    assert merkle.verify_inclusion(leaf, index, size, proof, root)
