"""`settlement backup` and `recover` as an operator runs them, and the two scripts (spec §17)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.site import Site
from tests.cli.running import COMMAND, environment, run
from tests.support.archives import history, members_of
from tests.support.house import Play, house
from tests.support.logs import raw_sql
from tests.support.raw import contents, open_raw, sql
from tests.support.server import deployed
from tests.support.tree import ROOT


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> dict[str, str]:
    """The settings of a directory with a database that has a history."""
    with house(tmp_path, database_url) as services:
        services.engine.start()
        history(Play(services))
    return {
        "SETTLEMENT_DATABASE": database_url,
        "SETTLEMENT_SIGNING_KEY_FILE": str(tmp_path / "keys" / "log_signing.key"),
        "SETTLEMENT_CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
        "SETTLEMENT_RAIL_DIR": str(tmp_path / "rail"),
    }


def bash(directory: Path, line: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A line of shell, with the scripts of this tree and no settlement program installed."""
    link = directory / "scripts"
    if not link.exists():
        link.symlink_to(ROOT / "scripts")
    path = os.pathsep.join(["/usr/bin", "/bin"])
    return subprocess.run(
        ["bash", "-c", line],
        cwd=directory,
        env={**environment(directory, **settings), "PATH": path, "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_reports_own_line_runs_while_a_server_is_up(tmp_path: Path, database_url: str) -> None:
    """Catches a validation that needs a terminal, or the database for itself."""
    with deployed(tmp_path, database_url) as deployment:
        site = Site(bases=[deployment.server().url])
        site.pack(site.agent())
        settings = {
            name: value
            for name, value in deployment.environment().items()
            if name.startswith("SETTLEMENT_")
        }
        line = "bash scripts/backup.sh && bash scripts/recover.sh --latest --validate"
        done = bash(tmp_path, line, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "clean" in done.stdout
        done = bash(tmp_path, "bash scripts/backup.sh --validate-only", **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        # What changes the data is another matter: it is told that somebody is at it.
        done = bash(tmp_path, "bash scripts/recover.sh --latest --force", **settings)
        assert done.returncode == 3, done.stdout + done.stderr
        assert "open in another process" in done.stderr
        deployment.assert_audit_is_clean()


def test_a_validation_writes_nothing(place: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path, "backup", **place)
    with open_raw(place["SETTLEMENT_DATABASE"]) as raw:
        before = contents(raw)
    files = sorted(path.name for path in (tmp_path / "var" / "backups").iterdir())
    done = run(tmp_path, "backup", "--validate-only", "--json", **place)
    assert done.code == 0
    assert done.json()["audit"]["ok"] is True
    assert done.json()["content_hash"]
    assert sorted(path.name for path in (tmp_path / "var" / "backups").iterdir()) == files
    with open_raw(place["SETTLEMENT_DATABASE"]) as raw:
        assert contents(raw) == before


def test_a_dry_run_tells_and_changes_nothing(place: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path, "backup", "--label", "before the upgrade", **place)
    with open_raw(place["SETTLEMENT_DATABASE"]) as raw:
        before = contents(raw)
    done = run(tmp_path, "recover", "--latest", "--dry-run", **place)
    assert done.code == 0, done.err
    assert "Nothing was changed" in done.out
    with open_raw(place["SETTLEMENT_DATABASE"]) as raw:
        assert contents(raw) == before


def test_a_recovery_is_made_and_says_what_comes_next(place: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path, "backup", **place)
    done = run(tmp_path, "recover", "--latest", "--force", "--json", **place)
    assert done.code == 0, done.err
    assert done.json()["recovery_epoch"] == 1
    assert done.json()["kept"]
    assert done.json()["signature"].startswith("signed by")
    assert run(tmp_path, "audit", **{**place, "SETTLEMENT_CHECKPOINT_FILE": ""}).code == 0
    again = run(tmp_path, "recover", "--latest", "--force", **place)
    assert "settlement reconcile" in again.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("recover",), 2),
        (("recover", "--latest"), 2),
        (("recover", "--latest", "--file", "x"), 2),
        (("recover", "--latest", "--validate"), 2),
        (("backup", "--keep", "0"), 2),
        (("backup", "--validate-only"), 2),
    ],
)
def test_wrong_use_is_two(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    assert run(tmp_path, *arguments).code == code


def test_without_a_terminal_nothing_is_replaced_unasked(
    place: dict[str, str], tmp_path: Path
) -> None:
    run(tmp_path, "backup", **place)
    done = run(tmp_path, "recover", "--latest", **place)
    assert done.code == 2
    assert "--force" in done.err


def test_a_damaged_archive_is_one_with_its_file_and_line(
    place: dict[str, str], tmp_path: Path
) -> None:
    made = run(tmp_path, "backup", "--json", **place).json()
    archive = tmp_path / made["archive"]
    archive.chmod(0o600)
    raw = bytearray(archive.read_bytes())
    raw[len(raw) // 2] ^= 1
    archive.write_bytes(bytes(raw))
    done = run(tmp_path, "recover", "--latest", "--validate", "--json", **place)
    assert done.code == 1
    said = done.json()
    assert said["error"] == "backup_damaged"
    assert said["file"]
    assert said["line"] >= 1
    assert run(tmp_path, "recover", "--latest", "--force", **place).code == 1
    # Where a check of live data could have said 1, what is damaged has a code of its own.
    assert run(tmp_path, "backup", "--validate-only", **place).code == 10
    assert run(tmp_path, "audit", "--archive", str(archive), **place).code == 10


def test_no_secret_is_in_an_archive(tmp_path: Path, database_url: str) -> None:
    """Catches a table or a manifest that takes a key along."""
    token = "admin-token-" + "z" * 24
    with deployed(tmp_path, database_url, SETTLEMENT_ADMIN_TOKEN=token) as deployment:
        site = Site(bases=[deployment.server().url])
        keys = [site.agent().api_key for _ in range(3)]
        done = deployment.command("backup", "--json")
        assert done.returncode == 0, done.stderr
    archive = tmp_path / json.loads(done.stdout)["archive"]
    held = b"".join(members_of(archive).values())
    pem = (tmp_path / "keys" / "log_signing.key").read_text().splitlines()
    secrets = [token, *keys, *(key.split("_")[2] for key in keys), *pem[1:-1]]
    assert all(len(secret) > 20 for secret in secrets)
    assert not [secret for secret in secrets if secret.encode() in held]
    assert oct(archive.stat().st_mode & 0o777) == "0o600"


# --- killed --------------------------------------------------------------------------------------


def killed(directory: Path, fault: str, *arguments: str, **settings: str) -> None:
    """Run a command that is killed at a point; it must get there."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=directory,
        env=environment(directory, **settings, SETTLEMENT_FAULTS=f"{fault}:kill"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert f"fault {fault}: kill" in done.stderr


def test_a_killed_backup_leaves_no_half_archive(place: dict[str, str], tmp_path: Path) -> None:
    """Catches an archive written under its own name."""
    out = tmp_path / "var" / "backups"
    for point in ("backup.after_snapshot", "backup.before_names", "backup.between_names"):
        killed(tmp_path, point, "backup", **place)
        assert not list(out.glob("*.tar.gz"))
    assert run(tmp_path, "backup", **place).code == 0
    assert run(tmp_path, "recover", "--latest", "--validate", **place).code == 0
    assert not list(out.glob(".partial-*"))


@pytest.fixture
def two_histories(place: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The database has gone on since its backup, so that old and new can be told apart."""
    run(tmp_path, "backup", **place)
    with house(tmp_path, place["SETTLEMENT_DATABASE"]) as services:
        services.engine.start()
        Play(services).agent("later")
    return place


@pytest.mark.parametrize(
    "point", ["recover.after_check", "recover.before_swap", "recover.after_swap"]
)
def test_a_killed_recovery_leaves_the_old_data_or_the_new(
    two_histories: dict[str, str], tmp_path: Path, point: str
) -> None:
    """Catches a swap in steps: a file without its log, or a schema half filled."""
    place = two_histories
    url = place["SETTLEMENT_DATABASE"]
    with open_raw(url) as raw:
        before = contents(raw)
    killed(tmp_path, point, "recover", "--latest", "--force", **place)
    with open_raw(url) as raw:
        after = contents(raw)
        epoch = dict(raw.rows("SELECT name, value FROM setting"))["recovery_epoch"]
    assert (after == before) == (point != "recover.after_swap")
    assert epoch == ("1" if point == "recover.after_swap" else "0")
    assert run(tmp_path, "audit", **{**place, "SETTLEMENT_CHECKPOINT_FILE": ""}).code == 0
    # And it can simply be run again.
    assert run(tmp_path, "recover", "--latest", "--force", **place).code == 0
    assert not list(tmp_path.glob("*.restoring-*"))


def test_a_damaged_database_is_replaced_without_its_old_log(tmp_path: Path) -> None:
    """Catches a new file that meets the write-ahead log of the old one."""
    url = f"sqlite:///{tmp_path / 'settlement.db'}"
    with house(tmp_path, url) as services:
        services.engine.start()
        history(Play(services))
    place = {"SETTLEMENT_DATABASE": url, "SETTLEMENT_CHECKPOINT_FILE": ""}
    run(tmp_path, "backup", **place)
    file, log = tmp_path / "settlement.db", tmp_path / "settlement.db-wal"
    with open_raw(url) as raw:  # a log with a change in it that the file does not have yet
        raw.run([sql("INSERT INTO setting (name, value) VALUES ('zzz', '1')")])
        left, data = log.read_bytes(), file.read_bytes()
    assert len(left) > 4096
    file.write_bytes(b"no database at all".ljust(100, b"!") + data[100:])
    log.write_bytes(left)
    killed(tmp_path, "recover.before_swap", "recover", "--latest", "--force", **place)
    refused = run(tmp_path, "audit", **place)
    assert refused.code == 9
    assert "settlement recover" in refused.err
    done = run(tmp_path, "recover", "--latest", "--force", "--json", **place)
    assert done.code == 0, done.err
    assert run(tmp_path, "audit", **place).code == 0
    # The old log is kept as it was, beside the old file.
    assert [path.read_bytes() for path in tmp_path.glob("*.before_*-wal")] == [left]


# --- who owns it, and which archive ---------------------------------------------------------------


def test_a_database_is_its_owners_alone_and_a_recovery_gives_it_back(tmp_path: Path) -> None:
    """Catches a file that everybody may read, and one of root's that the service cannot open."""
    file = tmp_path / "settlement.db"
    place = {"SETTLEMENT_DATABASE": f"sqlite:///{file}", "SETTLEMENT_CHECKPOINT_FILE": ""}
    umask = os.umask(0o022)
    try:
        assert run(tmp_path, "migrate", **place).code == 0
        assert file.stat().st_mode & 0o777 == 0o600
        assert run(tmp_path, "backup", **place).code == 0
        wanted = (1234, 1234) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        os.chown(file, *wanted)
        file.chmod(0o640)
        assert run(tmp_path, "recover", "--latest", "--force", **place).code == 0
        found = file.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*wanted, 0o640)
        for end in (".open", ".lock"):
            assert Path(f"{file}{end}").stat().st_uid == wanted[0]
    finally:
        os.umask(umask)


def test_the_newest_archive_that_is_clean_is_found(place: dict[str, str], tmp_path: Path) -> None:
    """Catches a restore of what was tampered with, and a refusal without a next step."""
    clean = run(tmp_path, "backup", "--json", **place).json()["archive"]
    raw_sql(
        place["SETTLEMENT_DATABASE"],
        "UPDATE account SET credits_posted = credits_posted + 100 WHERE ref LIKE 'entity:%'",
        without_triggers=True,
    )
    tampered = Path(run(tmp_path, "backup", "--json", **place).json()["archive"])
    refused = run(tmp_path, "recover", "--latest", "--validate", **place)
    assert refused.code == 1
    assert f"settlement recover --file {clean}" in refused.out.replace(f"{tmp_path}/", "")
    found = run(tmp_path, "recover", "--latest-clean", "--force", "--json", **place)
    assert found.code == 0, found.err
    assert found.json()["archive"].endswith(clean)
    assert [Path(one["archive"]).name for one in found.json()["passed_over"]] == [tampered.name]
    assert run(tmp_path, "audit", **{**place, "SETTLEMENT_CHECKPOINT_FILE": ""}).code == 0


def test_who_has_an_sqlite_database_open_is_named(tmp_path: Path, sqlite_url: str) -> None:
    """Catches a dry run that needs the database for itself, and a refusal that names nobody."""
    with deployed(tmp_path, sqlite_url) as deployment:
        server = deployment.server()
        assert deployment.command("backup").returncode == 0
        looked = deployment.command("recover", "--latest", "--dry-run")
        assert looked.returncode == 0, looked.stderr
        assert f"process {server.pid}" in looked.stdout
        refused = deployment.command("recover", "--latest", "--force")
        assert refused.returncode == 3
        assert f"process {server.pid}" in refused.stderr
