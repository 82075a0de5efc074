"""Backups and restores, on both databases: all is in, nothing wrong gets back (spec §17.1)."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.core.archive import NAME
from settlement.core.errors import BackupDamaged, BackupRunning
from settlement.service.audit import run_audit
from settlement.service.backup import BackupPlan, Progress, take_backup
from settlement.service.reconcile import reconcile
from settlement.service.replay import replay_deal
from settlement.service.restore import check_lines, checked
from settlement.store.copying import LEFT_OUT
from settlement.store.database import MigrationRefused, SystemClock, open_database
from settlement.store.migrate import migrations_of
from settlement.store.sqlite import SqliteDatabase
from tests.support.archives import back_up, history, members_of, repack, restore, unpacked
from tests.support.house import Play, house
from tests.support.postgres import fresh_database
from tests.support.raw import TABLES, contents, open_raw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.service.backup import Taken
    from tests.support.postgres import PostgresServer


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url) as services:
        services.engine.start()
        yield Play(services)


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """One archive of a house with a history, which tests may copy but not change."""
    directory = tmp_path_factory.mktemp("taken")
    with house(directory, f"sqlite:///{directory / 'settlement.db'}") as services:
        services.engine.start()
        history(Play(services))
        return back_up(services, directory / "out")


def copied(taken: Taken, directory: Path) -> Path:
    for name in (taken.path.name, f"{taken.path.name}.sha256"):
        (directory / name).write_bytes(taken.path.with_name(name).read_bytes())
    return directory / taken.path.name


def test_every_table_is_backed_up_or_left_out_for_a_reason(
    play: Play, tmp_path: Path, database_url: str
) -> None:
    """Catches a backup with a list of tables of its own, which the next migration makes stale."""
    history(play)
    archive = back_up(play.services, tmp_path / "out")
    with open_raw(database_url) as raw:
        there = {name for (name,) in raw.rows(TABLES[raw.kind])}
        rows = {name: len(found) for name, found in contents(raw).items()}
    members = members_of(archive.path)
    held = {name.removesuffix(".jsonl") for name in members} - {"manifest.json"}
    assert there - held <= set(LEFT_OUT)
    assert held <= there
    assert all(LEFT_OUT.values())
    for name in held:
        assert len(members[f"{name}.jsonl"].splitlines()) == rows[name], name


def test_a_line_is_the_row_and_its_digest(taken: Taken) -> None:
    """Catches a line that cannot be checked by itself: h is the SHA-256 of K(row)."""
    members = members_of(taken.path)
    manifest = json.loads(members["manifest.json"])
    assert NAME.fullmatch(taken.path.name)
    for file in manifest["files"]:
        data = members[file["name"]]
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
        assert len(data.splitlines()) == file["lines"]
        for line in data.splitlines():
            one = json.loads(line)
            inner = json.dumps(
                one["row"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
            ).encode()
            assert one["h"] == hashlib.sha256(inner).hexdigest()
            assert (one["t"], one["v"]) == (file["name"].removesuffix(".jsonl"), manifest["schema"])
    assert manifest["tree_size"] > 0
    assert manifest["recovery_epoch"] == 0


def test_what_was_backed_up_under_load_restores_to_books_that_add_up(
    play: Play, tmp_path: Path, database_url: str, sqlite_url: str
) -> None:
    """Catches a backup that reads tables one after another instead of one snapshot."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deals = [play.proof(seller) for _ in range(60)]
    for deal in deals:
        play.go(deal, buyer)
    begun, stop = threading.Event(), threading.Event()

    def settle() -> None:
        for deal in deals:
            if stop.is_set():
                return
            play.settle(deal, seller)
            play.services.effects.step()
            begun.set()

    load = threading.Thread(target=settle)
    load.start()
    assert begun.wait(30)
    archives = [back_up(play.services, tmp_path / "out") for _ in range(3)]
    stop.set()
    load.join()
    for archive in archives:
        with checked(archive.path, {}, None) as found:
            assert found.sound, [one.document() for one in found.audit.failed()]
            db = open_database(f"sqlite:///{found.scratch}")
            try:
                with_money = [replay_deal(db, deal["deal_id"]) for deal in deals]
            finally:
                db.close()
        settled = [one for one in with_money if one["lifecycle"]["state"] == "settled"]
        assert all(one["verdict"] == "clean" for one in with_money)
        totals = archive.manifest.totals.get("USD/2", {})
        assert isinstance(totals, dict)
        assert totals.get("settlements", 0) == len(settled)
        gross = sum(_minor(one["ledger"]["gross"]) for one in settled)
        assert totals.get("gross_minor", 0) == gross


def _minor(text: str) -> int:
    whole, _, cents = str(text).partition(".")
    return int(whole) * 100 + int(cents.ljust(2, "0"))


def test_a_restored_database_holds_the_same_and_goes_on(
    play: Play, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """Catches a restore that counts transfers a second time, or loses a number to hand out."""
    deals = history(play)
    archive = back_up(play.services, tmp_path / "out")
    with fresh_database(postgres_server) as empty:
        for url in (f"sqlite:///{tmp_path / 'new.db'}", empty):
            done = restore(archive.path, url)
            assert (done.epoch, done.kept) == (1, None)
            with house(tmp_path / f"new-{url[:6]}", url) as services:
                report = run_audit(services.db)
                assert report.clean, [one.document() for one in report.failed()]
                assert {replay_deal(services.db, deal)["verdict"] for deal in deals} == {"clean"}
                services.engine.start()
                again = Play(services)
                seller, buyer = again.agent("new_seller"), again.agent("new_buyer")
                deal = again.proof(seller)
                again.go(deal, buyer)
                again.work()


def test_rows_moved_to_the_other_database_and_back_have_one_content_hash(
    taken: Taken, tmp_path: Path, postgres_url: str
) -> None:
    """Catches a copy that changes a value, or an order that depends on the database."""
    archive = taken.path
    for name, url in (("there", postgres_url), ("back", f"sqlite:///{tmp_path / 'back.db'}")):
        restore(archive, url)  # compares what it reads back there with the archive
        db = open_database(url)
        try:
            archive = take_backup(db, BackupPlan(out=tmp_path / name, keep=3), None).path
        finally:
            db.close()
    # A recovery leaves marks; the books themselves are the same rows.
    first, last = members_of(taken.path), members_of(archive)
    for table in ("transfer", "ledger_tx", "settlement", "account", "claim", "deal", "receipt"):
        assert first[f"{table}.jsonl"] == last[f"{table}.jsonl"], table


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_flipped_bit_anywhere_in_an_archive_is_named(
    taken: Taken, tmp_path: Path, data: st.DataObject
) -> None:
    """Catches a reader that trusts any byte: of the compressed file, or of the lines inside."""
    archive = copied(taken, tmp_path)
    raw = bytearray(archive.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    archive.write_bytes(bytes(raw))
    with pytest.raises(BackupDamaged) as caught:
        check_lines(archive, {})
    assert caught.value.file


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_changed_line_is_named_though_every_outer_digest_fits(
    taken: Taken, tmp_path: Path, data: st.DataObject
) -> None:
    """Catches a reader that checks the archive's digest only: whoever changes a row changes it."""
    archive = copied(taken, tmp_path)
    members = members_of(archive)
    name = data.draw(st.sampled_from(sorted(name for name in members if members[name])))
    tar = bytearray(unpacked(archive))
    start = tar.find(members[name])
    at = data.draw(st.integers(0, len(members[name]) - 1))
    tar[start + at] ^= 1 << data.draw(st.integers(0, 6))
    repack(archive, bytes(tar))
    with pytest.raises(BackupDamaged) as caught:
        check_lines(archive, {})
    line = members[name][:at].count(b"\n") + 1
    # A changed line end joins two lines, and makes the first of them wrong.
    assert (caught.value.file, caught.value.line) == (name, line)


def test_a_damaged_archive_touches_nothing(taken: Taken, tmp_path: Path, database_url: str) -> None:
    """Catches a restore that begins before it has read to the end."""
    archive = copied(taken, tmp_path)
    raw = bytearray(archive.read_bytes())
    raw[-20] ^= 1
    archive.write_bytes(bytes(raw))
    with house(tmp_path / "there", database_url) as services:
        services.engine.start()
        history(Play(services))
    with open_raw(database_url) as raw_db:
        before = contents(raw_db)
    with pytest.raises(BackupDamaged):
        restore(archive, database_url)
    with open_raw(database_url) as raw_db:
        assert contents(raw_db) == before
    assert not list(tmp_path.glob("*.restoring-*"))


def test_an_archive_signed_by_another_key_is_refused(taken: Taken) -> None:
    """Catches a manifest whose signature nobody looks at."""
    assert taken.manifest.signature is not None
    key_id = str(taken.manifest.signature["key_id"])
    with pytest.raises(BackupDamaged, match="signature"):
        check_lines(taken.path, {key_id: bytes(32)})


def test_only_the_newest_are_kept_each_with_its_digest(play: Play, tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = [back_up(play.services, out, keep=2).path.name for _ in range(4)]
    assert len({*names}) == 4
    left = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    assert left == sorted([*names[2:], *(f"{name}.sha256" for name in names[2:])])


def test_two_backups_into_one_directory_take_turns(play: Play, tmp_path: Path) -> None:
    """Catches one clearing away what the other is writing."""

    def meanwhile(_rows: int) -> None:
        back_up(play.services, tmp_path / "out")

    plan = BackupPlan(out=tmp_path / "out", keep=3)
    with pytest.raises(BackupRunning):
        take_backup(play.services.db, plan, None, Progress(total=meanwhile))


def test_the_old_data_is_moved_aside_and_a_second_restore_is_a_new_epoch(
    taken: Taken, tmp_path: Path, database_url: str
) -> None:
    """Catches a restore that deletes, and one that hands out the fences of the first again."""
    with house(tmp_path / "there", database_url) as services:
        services.engine.start()
        Play(services).agent("only_here")
    first = restore(taken.path, database_url)
    second = restore(taken.path, database_url)
    assert first.kept
    assert second.kept
    assert first.kept != second.kept
    assert (first.epoch, second.epoch) == (1, 2)
    with open_raw(database_url) as raw:
        names = {name for (name,) in raw.rows("SELECT name FROM agent")}
        assert "only_here" not in names
        if raw.kind == "postgres":
            schema = first.kept.removeprefix("schema ")
            aside = raw.rows(f"SELECT name FROM {schema}.agent")
    if database_url.startswith("sqlite"):
        with open_raw(f"sqlite:///{first.kept}") as old:
            aside = old.rows("SELECT name FROM agent")
    assert [tuple(row) for row in aside] == [("only_here",)]


def test_an_archive_of_an_older_release_is_migrated_on_its_way(
    tmp_path: Path, database_url: str
) -> None:
    """Catches a restore that puts old rows into new tables, or refuses every archive there is on
    the day of an upgrade."""
    old = SqliteDatabase(str(tmp_path / "old.db"), SystemClock())
    try:
        old.migrate(up_to=4)
        taken = take_backup(old, BackupPlan(out=tmp_path / "out", keep=3), None)
    finally:
        old.close()
    assert taken.manifest.schema == 4
    assert restore(taken.path, database_url).epoch == 1
    with house(tmp_path / "new", database_url) as services:
        services.engine.start()
        assert reconcile(services.db, services.rails, "ops").unparked
        history(Play(services))
        assert run_audit(services.db).clean


def test_an_archive_of_a_later_release_is_refused(
    taken: Taken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches rows of unknown columns being guessed at."""
    known = migrations_of("sqlite")[:-1]
    monkeypatch.setattr("settlement.service.restore.migrations_of", lambda _kind: known)
    with pytest.raises(MigrationRefused, match="later one"), checked(taken.path, {}, None):
        raise AssertionError("it was read")
