"""The demo: the whole story over HTTP, on both databases, and what its bundle proves."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

from tests.cli.running import run
from tests.support.house import Play, house

if TYPE_CHECKING:
    from pathlib import Path


def test_the_demo_ends_verified_offline(tmp_path: Path, database_url: str) -> None:
    ran = run(tmp_path, "demo", "--database", database_url)
    assert ran.code == 0, ran
    assert ran.out.splitlines()[-1] == "verified offline"
    assert ran.out.count("replay ") == 3
    audit = run(tmp_path, "audit", "--json", "--database", database_url)
    assert audit.code == 0, audit.out


def test_the_demo_tells_its_story_in_json_too(tmp_path: Path) -> None:
    ran = run(tmp_path, "demo", "--json")
    document = ran.json()
    assert (ran.code, document["verified"], document["verification_level"]) == (0, True, "full")
    replayed = [step["request"] for step in document["calls"] if step["replayed"]]
    assert "POST /protocol/go" in replayed
    assert "POST /protocol/settle" in replayed
    assert os.listdir(tmp_path) == [], "it leaves nothing behind"


def test_a_demo_without_a_server_says_so(tmp_path: Path) -> None:
    ran = run(tmp_path, "demo", "--url", "http://127.0.0.1:1", "--json")
    assert ran.code == 1
    assert "did not answer" in ran.json()["detail"]


def exported(directory: Path, database: str) -> tuple[dict[str, object], str]:
    """A bundle of a settled deal, and the public key in base64."""
    with house(directory, database) as services:
        services.sequencer.check_checkpoint()
        play = Play(services)
        buyer, seller = play.agent("buyer"), play.agent("seller")
        deal = play.proof(seller)
        play.go(deal, buyer)
        play.settle(deal, seller)
        play.work()
        bundle = services.bundles.export_bundle(deal["deal_id"])
        signer = services.signer
        assert signer is not None
        return json.loads(json.dumps(bundle)), base64.b64encode(signer.public_key).decode()


def test_a_bundle_verifies_without_server_and_database(tmp_path: Path, sqlite_url: str) -> None:
    bundle, key = exported(tmp_path, sqlite_url)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "bundle.json").write_text(json.dumps(bundle))
    ran = run(elsewhere, "verify", "bundle.json", "--public-key", key, "--json")
    assert (ran.code, ran.json()["verification_level"]) == (0, "full")
    (elsewhere / "key.json").write_text(json.dumps({"public_key_base64": key}))
    assert run(elsewhere, "verify", "bundle.json", "--public-key", "key.json").code == 0
    assert sorted(os.listdir(elsewhere)) == ["bundle.json", "key.json"]


def test_a_tampered_bundle_names_the_step_that_fails(tmp_path: Path, sqlite_url: str) -> None:
    bundle, key = exported(tmp_path, sqlite_url)
    events = bundle["events"]
    assert isinstance(events, list)
    events[1]["payload"]["gross_minor"] = 1
    text = json.dumps(bundle)
    ran = run(tmp_path, "verify", "-", "--public-key", key, stdin=text)
    assert ran.code == 1
    assert "NOT verified" in ran.out
    steps = run(tmp_path, "verify", "-", "--public-key", key, "--json", stdin=text).json()["steps"]
    failed = {name for name, step in steps.items() if not (step["passed"] or step["skipped"])}
    assert {"bundle_hash", "event_chain"} <= failed
