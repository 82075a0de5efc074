"""The doctor tries things: each finding is called forth here by breaking what it looks at."""

from __future__ import annotations

import base64
import json
import os
import resource
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from settlement.cli import doctor_around
from settlement.cli.findings import OK, PROBLEM, WARNING, Finding
from settlement.cli.output import DAMAGE_ADVICE
from settlement.cli.serve import _Announcement
from settlement.config import load
from settlement.core.clock import time_text
from settlement.edge.rails.simulated import Behaviour, SimulatedRail
from settlement.service.archive import digest_path
from settlement.store import operator
from settlement.store.database import SystemClock, open_database
from settlement.store.sqlite import check_version
from tests.cli.running import run
from tests.support.server import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from settlement.config import Settings

#: The module; the package has the command under this name.
doctor = import_module("settlement.cli.doctor")


def of(tmp_path: Path, **changes: str) -> Settings:
    """Settings whose files all lie in the test's directory."""
    files = {
        "DATABASE": f"sqlite:///{tmp_path / 'books' / 's.db'}",
        "SIGNING_KEY_FILE": str(tmp_path / "keys" / "log.key"),
        "CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
        "RAIL_DIR": str(tmp_path / "rail"),
        "BACKUP_DIR": str(tmp_path / "backups"),
        "AUDIT_FILE": str(tmp_path / "audit.json"),
    }
    return load({f"SETTLEMENT_{name}": text for name, text in {**files, **changes}.items()})


def only(probe: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Finding:
    (finding,) = probe(settings)
    assert finding.status == OK or finding.advice, "what is wrong comes with what to do"
    return finding


def test_every_probe_is_asked() -> None:
    """Broken build: a probe is written and never run."""
    assert set(doctor_around.PROBES) <= set(doctor._PROBES)
    own = {
        one
        for one in vars(doctor_around).values()
        if callable(one) and getattr(one, "__module__", "") == doctor_around.__name__
    }
    public = {one for one in own if not one.__name__.startswith("_")}
    assert public == set(doctor_around.PROBES)


def test_a_scratch_database_is_written_reopened_and_removed(tmp_path: Path) -> None:
    found = only(doctor_around.scratch, of(tmp_path))
    assert (found.status, found.detail) == (OK, "written, closed, opened again")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_takes_no_database_is_a_problem(tmp_path: Path) -> None:
    """Broken build: the doctor passes, and the first start fails on the same directory."""
    assert (
        only(doctor_around.scratch, of(tmp_path, DATABASE="sqlite:////proc/s.db")).status == PROBLEM
    )


def test_a_commit_that_is_gone_after_reopening_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(url: str) -> object:
        return open_database(f"{url}-{os.urandom(4).hex()}")

    monkeypatch.setattr(doctor_around, "open_database", forgetful)
    found = only(doctor_around.scratch, of(tmp_path))
    assert (found.status, found.detail) == (PROBLEM, "what was committed was gone")


def test_a_sync_that_takes_no_time_is_remarked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: acknowledged payments live in memory, and the doctor is content."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    found = only(doctor_around.sync, of(tmp_path))
    assert found.status == WARNING
    assert "power cut" in found.advice
    assert list(tmp_path.iterdir()) == []


def test_the_rail_is_asked(tmp_path: Path) -> None:
    """Broken build: the doctor looks whether a name is set; or an outage bars a restart."""
    settings = of(tmp_path)
    assert only(doctor_around.rail, settings).status == WARNING
    with closing(SimulatedRail(settings.rail_dir)) as rail:
        assert only(doctor_around.rail, settings).status == OK
        rail.program([Behaviour(does="outage")])
        assert only(doctor_around.rail, settings).status == WARNING
        rail.program([])
    (settings.rail_dir / "book.jsonl").write_text("no book at all\n")
    assert only(doctor_around.rail, settings).status == PROBLEM


def test_secrets_of_inbound_messages_are_looked_at(tmp_path: Path) -> None:
    secret = "whsec_" + base64.b64encode(b"s" * 24).decode()
    one = {"SIMULATED_WEBHOOK_SECRET": secret}
    assert "none" in only(doctor_around.webhook_secrets, of(tmp_path)).detail
    assert only(doctor_around.webhook_secrets, of(tmp_path, **one)).status == OK
    both = {**one, "SIMULATED_WEBHOOK_SECRET_PREVIOUS": secret}
    found = only(doctor_around.webhook_secrets, of(tmp_path, **both))
    assert found.status == WARNING
    assert secret not in found.detail + found.advice


def test_backups_are_told_by_their_age(tmp_path: Path) -> None:
    """Broken build: the timer stopped in spring, and the doctor is content."""
    settings = of(tmp_path)
    assert "none" in only(doctor_around.backups, settings).detail
    settings.backup_dir.mkdir()
    now = time_text(SystemClock().now_us()).replace("-", "").replace(":", "")[:15] + "Z"
    for stamp, status in (("20260101T000000Z", WARNING), (now, OK)):
        archive = settings.backup_dir / f"backup_{stamp}.tar.gz"
        archive.write_bytes(b"x")
        digest_path(archive).write_text("x")
        assert only(doctor_around.backups, settings).status == status, stamp


def test_the_last_audit_is_told(tmp_path: Path) -> None:
    settings = of(tmp_path)
    assert "no verdict" in only(doctor_around.last_audit, settings).detail
    now = time_text(SystemClock().now_us())
    old = "2026-01-01T00:00:00.000000Z"
    for at, failed, status in ((now, [], OK), (old, [], WARNING), (now, [7, 18], WARNING)):
        verdict = {"ok": not failed, "audited_at": at, "failed": failed}
        settings.audit_file.write_text(json.dumps(verdict))
        found = only(doctor_around.last_audit, settings)
        assert found.status == status
        assert not failed or "7, 18" in found.detail


def test_a_low_limit_of_open_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        assert only(doctor_around.open_files, of(tmp_path)).status == PROBLEM
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        assert only(doctor_around.open_files, of(tmp_path)).status == WARNING
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_collector_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert list(doctor_around.collector(of(tmp_path))) == []
    settings = of(tmp_path, TRACE_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert only(doctor_around.collector, settings).status == WARNING


@pytest.mark.parametrize(("fsync", "commit"), [("off", "on"), ("on", "off"), ("on", "local")])
def test_a_postgres_that_does_not_sync_is_a_problem(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: str, commit: str
) -> None:
    """Broken build: an acknowledged payment is lost with the server's power.

    What the server says is replaced, not the server: the tests share one, and each of our sessions
    turns synchronous_commit on by itself.
    """
    settings = of(tmp_path, DATABASE=postgres_url)
    db = open_database(postgres_url)
    db.migrate()
    db.close()
    assert {one.name: one.status for one in doctor._database(settings)}["durability"] == OK
    said = operator.Durability(version="18", journal=fsync, synchronous=commit)
    monkeypatch.setattr(operator, "durability", lambda _db: said)
    found = {one.name: one for one in doctor._database(settings)}["durability"]
    assert found.status == PROBLEM
    assert "fsync=on" in found.advice


def test_an_sqlite_that_is_too_old_is_not_opened(tmp_path: Path) -> None:
    """Broken build: a release of SQLite that can lose its log is used all the same."""
    with pytest.raises(RuntimeError, match="too old"):
        check_version("3.51.2")
    check_version("3.51.3")


def test_a_log_behind_its_checkpoint_is_a_problem(tmp_path: Path, database_url: str) -> None:
    """Broken build: the doctor is content with an empty database, and the start is read-only."""
    settings = of(tmp_path, DATABASE=database_url)
    with closing(open_database(database_url)) as db:
        db.migrate()
    head = {"tree_size": 15, "log_id": "log", "root_hash": "0" * 64, "key_id": "k"}
    text = json.dumps({**head, "timestamp": "2026-01-01T00:00:00.000000Z", "signature": "x"})
    settings.checkpoint_file.write_text(text)
    found = only(doctor._checkpoint, settings)
    assert found.status == PROBLEM
    assert "size 15" in found.detail
    assert "accept-gap" in found.advice
    settings.checkpoint_file.write_text("no head")
    assert str(settings.checkpoint_file) in only(doctor._checkpoint, settings).detail


def test_a_damaged_file_is_found_and_leads_to_the_runbook(tmp_path: Path) -> None:
    """Broken build: pages that nobody happens to read are broken, and the doctor is content."""
    settings = of(tmp_path)
    file = tmp_path / "books" / "s.db"
    file.parent.mkdir()
    with closing(open_database(settings.database)) as db:
        db.migrate()
    sound = {one.name: one for one in doctor._database(settings)}
    assert sound["file"].status == OK
    whole = bytearray(file.read_bytes())
    whole[-8 * 4096 :] = b"\xa5" * (8 * 4096)
    file.write_bytes(whole)
    found = [one for one in doctor._database(settings) if one.status == PROBLEM]
    assert [one.advice for one in found] == [DAMAGE_ADVICE]
    ran = run(tmp_path, "backup", "--validate-only", "--database", settings.database)
    assert ran.code != 0
    assert "incident 7" in ran.err


def test_before_a_start_the_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Catches a unit that reads many gigabytes before each start, while nothing is served."""
    settings = of(tmp_path)
    with closing(open_database(settings.database)) as db:
        db.migrate()
    checks = [
        {
            one["name"]
            for one in run(
                tmp_path, "doctor", "--json", "--database", settings.database, *quick
            ).json()["checks"]
        }
        for quick in ([], ["--quick"])
    ]
    assert checks[0] - checks[1] == {"file"}


def test_a_live_server_with_the_simulated_rail_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches real deals that are booked as paid by a rail that moves nothing, without a word."""
    live = {"SETTLEMENT_MODE": "live", "SETTLEMENT_PUBLIC_URL": "https://settle.example"}
    found = {one["name"]: one for one in run(tmp_path, "doctor", "--json", **live).json()["checks"]}
    assert found["rail"]["status"] == "warning"
    assert "nobody makes" in found["rail"]["detail"]
    for mode, told in (("live", True), ("sandbox", False)):
        _Announcement(load({**live, "SETTLEMENT_MODE": mode}), as_json=False)()
        assert ("nobody makes" in capsys.readouterr().out) is told
