"""`settlement prove-mover`: every forbidden write is tried, on a scratch database, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.service import pauses
from settlement.store.pauses import Switch
from tests.cli.running import run
from tests.support.house import Play, house
from tests.support.raw import contents, open_raw, sql

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = {"check", "foreign key", "unique index", "trigger"}


@pytest.fixture
def live(tmp_path: Path, database_url: str) -> str:
    """A database with a settled deal and a signed head in it, all of it paused."""
    with house(tmp_path, database_url) as services:
        play = Play(services)
        seller = play.agent("seller")
        deal = play.proof(seller)
        play.go(deal, play.agent("buyer"))
        play.settle(deal, seller)
        play.work()
        services.sequencer.step()
        assert services.log_views.latest()["tree_size"] > 0
        pauses.change(services.db, Switch.ALL, paused=True, reason="an incident", operator="ops")
    return database_url


def proved(directory: Path, url: str, code: int) -> dict[str, Any]:
    ran = run(directory, "prove-mover", "--json", SETTLEMENT_DATABASE=url)
    assert ran.code == code, ran
    return ran.json()


def test_every_forbidden_write_is_refused_and_nothing_of_ours_is_touched(
    live: str, tmp_path: Path
) -> None:
    with open_raw(live) as raw:
        before = contents(raw)
        said = proved(tmp_path, live, 0)
        assert contents(raw) == before
    assert said["scratch"] == ("copy" if live.startswith("sqlite") else "fresh")
    assert said["guards_missing_or_changed"] == []
    attempts = said["attempts"]
    assert len(attempts) > 30
    assert all(one["refused"] for one in attempts)
    assert {one["layer"] for one in attempts} == LAYERS
    assert {one["title"]: one["rule"] for one in attempts}["fork a chain"] == (
        "unique: event(deal_id, version)"
    )


def test_the_copy_of_a_database_that_is_being_served_is_sequenced_too(
    live: str, tmp_path: Path
) -> None:
    """Catches a single step of the sequencer, whose lease a copy has from whoever serves the
    original: the log is left without the deal, and what is tried on it meets no row.
    """
    with house(tmp_path, live) as services:
        services.start()  # from now on it holds and renews that lease
        said = proved(tmp_path, live, 0)
    assert all(one["refused"] for one in said["attempts"])


def test_a_guard_that_somebody_dropped_is_noticed(live: str, tmp_path: Path) -> None:
    """Catches a command that proves the release's schema instead of this database's."""
    with open_raw(live) as raw:
        on = " ON transfer" if raw.kind == "postgres" else ""
        name = "transfer_append_only" if raw.kind == "postgres" else "transfer_no_update"
        raw.run([sql(f"DROP TRIGGER {name}{on}")])
    said = proved(tmp_path, live, 1)
    accepted = [one["title"] for one in said["attempts"] if not one["refused"]]
    assert accepted == (["change a transfer"] if said["scratch"] == "copy" else [])
    assert said["guards_missing_or_changed"] == [f"transfer.{name}"]
    told = run(tmp_path, "prove-mover", SETTLEMENT_DATABASE=live)
    assert told.code == 1
    assert f"transfer.{name} is missing in your database" in told.out


def test_without_a_database_a_fresh_one_is_tried(tmp_path: Path) -> None:
    ran = run(tmp_path, "prove-mover")
    assert ran.code == 0, ran
    assert "nothing got past" in ran.out
    assert not (tmp_path / "var").exists()
