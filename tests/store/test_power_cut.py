"""A commit that returned survives a power cut: only what was synced is on the platter.

A file system of SQLite's own kind (VFS) stands between the store and the disk. It copies a file to
the platter when, and only when, the store asks for a sync; the platter is what a power cut leaves.
Processes that are killed cannot show this: what they wrote is in the kernel, synced or not.
PostgreSQL syncs by its own settings, which `settlement doctor` looks at.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from settlement.core.writeset import WriteSet
from settlement.store import sqlite
from settlement.store.database import open_database
from tests.store.make import agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMITS = 20
#: The file system that SQLite uses by itself.
PLAIN = apsw.vfs_names()[0]
SETTINGS = sqlite._SETTINGS


class _File(apsw.VFSFile):
    def __init__(self, vfs: Platter, name: Any, flags: Any) -> None:
        self._vfs = vfs
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__(vfs.base, name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        super().xSync(flags)
        self._vfs.keep(self._name)


class Platter(apsw.VFS):
    """Everything opened while it lives goes through it."""

    def __init__(self, directory: Path) -> None:
        self.base = PLAIN
        self._directory = directory
        self.syncs = 0
        directory.mkdir()
        super().__init__("platter", self.base, makedefault=True)

    def xOpen(self, name: Any, flags: Any) -> _File:  # noqa: N802  # SQLite's name
        return _File(self, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802, FBT001  # SQLite's
        super().xDelete(name, syncdir)
        (self._directory / name.rpartition("/")[2]).unlink(missing_ok=True)

    def keep(self, name: str | None) -> None:
        """The file as it is now reaches the platter."""
        if name is not None:
            self.syncs += 1
            shutil.copyfile(name, self._directory / name.rpartition("/")[2])


@pytest.fixture
def platter(tmp_path: Path) -> Iterator[Platter]:
    made = Platter(tmp_path / "platter")
    yield made
    made.unregister()


def commit_and_cut(platter: Platter, tmp_path: Path) -> list[int]:
    """How many agents the platter holds after each commit, that is, after a power cut then."""
    url = f"sqlite:///{tmp_path / 'live.db'}"
    db = open_database(url)
    db.migrate()
    found = []
    for number in range(1, COMMITS + 1):
        writes = WriteSet(agents=[agent(f"agent_{number:032x}")])
        db.transaction(lambda tx, writes=writes: tx.write(writes))  # type: ignore[misc]  # bound now
        found.append(after_the_cut(tmp_path / "platter", tmp_path / f"cut-{number}"))
    assert platter.syncs > 0
    db.close()
    return found


def after_the_cut(platter: Path, place: Path) -> int:
    """Start again from a copy of the platter, on another machine as it were."""
    shutil.copytree(platter, place)
    file = place / "live.db"
    if not file.exists():
        return 0
    connection = apsw.Connection(str(file), vfs=PLAIN)
    try:
        ((count,),) = connection.execute("SELECT count(*) FROM agent")
        return int(count)
    except apsw.SQLError:  # not even its table has reached the platter
        return 0
    finally:
        connection.close()


def test_every_commit_that_returned_is_there_after_a_power_cut(
    platter: Platter, tmp_path: Path
) -> None:
    """Broken build: `synchronous = NORMAL`, the usual advice for WAL, which the next test tries."""
    assert commit_and_cut(platter, tmp_path) == list(range(1, COMMITS + 1))


def test_with_synchronous_normal_the_same_test_finds_lost_commits(
    platter: Platter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a platter that keeps everything, and so would show nothing."""
    weaker = [text.replace("synchronous = FULL", "synchronous = NORMAL") for text in SETTINGS]
    assert weaker != list(SETTINGS)
    monkeypatch.setattr(sqlite, "_SETTINGS", tuple(weaker))
    assert commit_and_cut(platter, tmp_path) != list(range(1, COMMITS + 1))
