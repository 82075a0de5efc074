"""Back to a moment with shipped logs, as docs/backup_recovery.md says (spec §17.1).

Real parts: the tool ships the log of a database that is being written, and is killed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.service.replay import replay_deal
from settlement.store.database import open_database
from tests.cli.running import run
from tests.support import postgres_guardian as guardian
from tests.support.house import Play, house
from tests.support.postgres import directory_open_to_all
from tests.support.raw import open_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LITESTREAM = Path(sys.executable).with_name("litestream")
SECONDS_MAX = 60


def wait_until(holds: Callable[[], bool], what: str) -> None:
    tick, deadline = threading.Event(), time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen in {SECONDS_MAX} s"
        tick.wait(0.1)


def shipped(directory: Path, *, at: str | None = None) -> Path:
    """What the replica gives back: all of it, or as of a moment."""
    out = directory / f"restored-{time.monotonic_ns()}.db"
    command = [str(LITESTREAM), "restore", "-config", "litestream.yml", "-o", str(out)]
    command += ["-timestamp", at] if at else []
    subprocess.run(
        [*command, str(directory / "settlement.db")],
        cwd=directory,
        check=False,
        capture_output=True,
        timeout=SECONDS_MAX,
    )
    return out


def deals_in(file: Path) -> set[str]:
    if not file.exists():
        return set()
    with open_raw(f"sqlite:///{file}") as raw:
        return {row[0] for row in raw.rows("SELECT deal_id FROM deal WHERE state = 'settled'")}


def settled(play: Play) -> str:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    return str(deal["deal_id"])


def test_a_shipped_log_goes_back_to_a_moment_and_passes_the_audit(tmp_path: Path) -> None:
    """Catches settings of ours that a log shipper cannot live with: a log that we cut before it was
    read would leave the replica torn, and the audit would see it."""
    url = f"sqlite:///{tmp_path / 'settlement.db'}"
    (tmp_path / "litestream.yml").write_text(
        f"dbs:\n  - path: {tmp_path / 'settlement.db'}\n    replica:\n      type: file\n"
        f"      path: {tmp_path / 'replica'}\n      sync-interval: 100ms\n"
    )
    with house(tmp_path, url) as services:
        services.engine.start()
        play = Play(services)
        with (tmp_path / "litestream.log").open("wb") as log:
            shipper = subprocess.Popen(
                [LITESTREAM, "replicate", "-config", "litestream.yml"],
                cwd=tmp_path,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            before = settled(play)
            wait_until(lambda: before in deals_in(shipped(tmp_path)), "the first deal's shipping")
            moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            after = settled(play)
            wait_until(lambda: after in deals_in(shipped(tmp_path)), "the second deal's shipping")
        finally:
            shipper.kill()  # SIGKILL: what was shipped is whole without a farewell
            shipper.wait()
    back = shipped(tmp_path, at=moment)
    assert deals_in(back) == {before}
    out = ("--out", str(tmp_path / "out"))
    assert run(tmp_path, "backup", *out, "--database", f"sqlite:///{back}").code == 0
    place = {"SETTLEMENT_DATABASE": f"sqlite:///{tmp_path / 'settlement.db'}"}
    done = run(
        tmp_path, "recover", "--latest", *out, "--lost-since", moment, "--force", "--json", **place
    )
    assert done.code == 0, done.out + done.err
    assert run(tmp_path, "audit", **place).code == 0
    db = open_database(url)
    try:
        assert replay_deal(db, before)["verdict"] == "clean"
    finally:
        db.close()
    with open_raw(url) as raw:
        parked = dict(raw.rows("SELECT name, value FROM setting"))["recovery_parked"]
    assert parked.startswith(moment[:19])


# --- PostgreSQL -----------------------------------------------------------------------------------


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that the server's own user can reach."""
    where = tempfile.mkdtemp(prefix="settlement-pitr-", dir=directory_open_to_all())
    top = Path(where)
    top.chmod(0o711)
    yield top
    shutil.rmtree(top)


def owned(directory: Path, server: guardian.Server) -> Path:
    directory.mkdir(mode=0o700)
    if server.user is not None:
        os.chown(directory, server.user.pw_uid, server.user.pw_gid)
    return directory


def url_of(server: guardian.Server) -> str:
    return f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/postgres"


def base_backup(server: guardian.Server, into: Path) -> None:
    command = [str(server.binaries / "pg_basebackup"), "-D", str(into), "-h", "127.0.0.1"]
    command += ["-p", str(server.port), "-U", "postgres", "--checkpoint=fast"]
    done = subprocess.run(
        command,
        env={**os.environ, "PGPASSWORD": server.password},
        cwd=into,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
        **server.identity(),
    )
    assert done.returncode == 0, done.stderr


def go_back_to(moment: str, server: guardian.Server, archive: Path) -> None:
    """Let a server start from its base backup and replay the archive up to a moment."""
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"restore_command = 'cp {archive}/%f %p'\nrecovery_target_time = '{moment}'\n"
            "recovery_target_action = 'promote'\narchive_mode = off\n"
        )
    (server.data / "recovery.signal").touch()


def test_a_base_backup_and_the_archived_log_go_back_to_a_moment(
    tmp_path: Path, open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a backup that takes a server for whole which was restored half-way: the audit and the
    replay read what came back."""
    archive = open_directory / "archive"
    shipping = {
        "archive_mode": "on",
        "archive_command": f"cp %p {archive}/%f",
    }
    monkeypatch.setattr(guardian, "SETTINGS", {**guardian.SETTINGS, **shipping})
    for name in ("first", "second"):
        (open_directory / name).mkdir(mode=0o711)
    first = guardian.Server(open_directory / "first")
    owned(archive, first)
    first.initialise()
    first.start()
    second = guardian.Server(open_directory / "second")
    try:
        with house(tmp_path, url_of(first)) as services:
            services.engine.start()
            play = Play(services)
            before = settled(play)
            base_backup(first, owned(second.data, first))
            between = settled(play)
            with open_raw(url_of(first)) as raw:
                moment = str(raw.rows("SELECT clock_timestamp()::text")[0][0])
                settled(play)  # after the moment
                last = raw.rows("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
            wait_until((archive / last).exists, "archiving the log")
        assert first.process is not None
        first.process.kill()
        first.process.wait()
        go_back_to(moment, second, archive)
        second.binaries, second.password = first.binaries, first.password
        second.start()
        out = ("--out", str(tmp_path / "out"))
        done = run(tmp_path, "backup", *out, "--database", url_of(second))
        assert done.code == 0, done.err
    finally:
        first.stop()
        second.stop()
    url = f"sqlite:///{tmp_path / 'restored.db'}"
    made = run(tmp_path, "recover", "--latest", *out, "--force", "--target", url)
    assert made.code == 0, made.out + made.err
    assert deals_in(tmp_path / "restored.db") == {before, between}
    assert run(tmp_path, "audit", "--database", url).code == 0
