"""`settlement verify intent`: an award checked from a file alone, by a bundle, by its id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from settlement.core.canonical import j_text
from tests.cli.running import run
from tests.support.house import Play, house

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def award(tmp_path: Path, database_url: str) -> tuple[str, Path, Path]:
    """An awarded intent: its id, the client's reveal and the deal's bundle as files."""
    with house(tmp_path, database_url) as services:
        play = Play(services)
        buyer, seller, other = (play.agent(name) for name in ("buyer", "seller", "other"))
        made = play.intent(buyer)
        play.bid(made, seller, 8_000, message="café")
        play.bid(made, other, 9_000)
        play.close(made, buyer)
        play.work()
        reveal, bundle = tmp_path / "award.json", tmp_path / "bundle.json"
        reveal.write_text(json.dumps(services.exchange.reveal(made["intent_id"], buyer)), "utf-8")
        bundle.write_text(j_text(services.bundles.export_bundle(made["deal_id"])), "utf-8")
        return made["intent_id"], reveal, bundle


def test_a_reveal_is_checked_from_its_file_without_a_database(
    tmp_path: Path, award: tuple[str, Path, Path]
) -> None:
    _, reveal, _ = award
    ran = run(tmp_path, "verify", "intent", str(reveal), "--json")
    assert ran.code == 0, ran
    assert ran.json()["verified"] is True
    assert ran.json()["bid_count"] == 2
    shown = run(tmp_path, "verify", "intent", str(reveal))
    assert "verified" in shown.out


def test_a_changed_bid_is_named_and_exits_1(tmp_path: Path, award: tuple[str, Path, Path]) -> None:
    _, reveal, _ = award
    document = json.loads(reveal.read_text("utf-8"))
    document["reveal"]["bids"][1]["price_minor"] = 1
    reveal.write_text(json.dumps(document), "utf-8")
    ran = run(tmp_path, "verify", "intent", str(reveal), "--json")
    assert ran.code == 1
    steps = ran.json()["steps"]
    assert steps["commitments"]["result"] == "fail"
    assert document["reveal"]["bids"][1]["bid_id"] in steps["commitments"]["why"]


def test_the_deals_bundle_ties_the_award_to_the_log(
    tmp_path: Path, award: tuple[str, Path, Path]
) -> None:
    """Catches a bundle that is believed although it does not verify itself."""
    _, reveal, bundle = award
    words = ("verify", "intent", str(reveal), "--bundle", str(bundle), "--json")
    ran = run(tmp_path, *words)
    assert ran.code == 0, ran
    assert ran.json()["steps"]["bundle"]["result"] == "pass"
    broken = json.loads(bundle.read_text("utf-8"))
    broken["events"][0]["actor_id"] = "somebody"
    bundle.write_text(json.dumps(broken), "utf-8")
    ran = run(tmp_path, *words)
    assert ran.code == 1
    assert ran.json()["steps"]["bundle"]["result"] == "fail"


def test_an_id_is_looked_up_in_the_database(
    tmp_path: Path, database_url: str, award: tuple[str, Path, Path]
) -> None:
    intent_id, _, _ = award
    ran = run(tmp_path, "verify", "intent", intent_id, "--json", SETTLEMENT_DATABASE=database_url)
    assert ran.code == 0, ran
    assert ran.json()["intent_id"] == intent_id
    none = "intent_" + "0" * 32
    ran = run(tmp_path, "verify", "intent", none, "--json", SETTLEMENT_DATABASE=database_url)
    assert ran.code != 0
    assert ran.json()["error"] == "intent_not_found"
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("words", [("verify", "deal", "x"), ("verify", "intent", "absent.json")])
def test_what_cannot_be_read_is_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run(tmp_path, *words, "--json").code == 2


def test_a_restored_intent_opens_with_the_key_it_was_sealed_under(
    tmp_path: Path, database_url: str
) -> None:
    """Catches a backup that leaves out bids, or tables that cannot be loaded one by one."""
    with house(tmp_path, database_url) as services:
        services.sequencer.check_checkpoint()
        play = Play(services)
        buyer, seller = play.agent("buyer"), play.agent("seller")
        done, still_open = play.intent(buyer), play.intent(buyer)
        for made in (done, still_open):
            play.bid(made, seller, 8_000)
        play.close(done, buyer)
        play.work()
        play.sign()
    settings = {
        "SETTLEMENT_DATABASE": database_url,
        "SETTLEMENT_SIGNING_KEY_FILE": str(tmp_path / "keys" / "log_signing.key"),
        "SETTLEMENT_CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
        "SETTLEMENT_RAIL_DIR": str(tmp_path / "rail"),
    }
    kept = run(tmp_path, "backup", "--out", str(tmp_path / "kept"), **settings)
    assert kept.code == 0, kept
    (archive,) = (tmp_path / "kept").glob("*.tar.gz")
    target = f"sqlite:///{tmp_path / 'restored.db'}"
    words = ("recover", "--file", str(archive), "--force", "--target", target)
    restored = run(tmp_path, *words, **settings)
    assert restored.code == 0, restored
    with house(tmp_path, target) as services:
        play = Play(services)
        for made in (done, still_open):
            assert play.close(made, buyer)["winner"]["price_usd_minor"] == 8_000
