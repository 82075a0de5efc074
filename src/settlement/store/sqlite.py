"""SQLite behind the seam, through apsw.

For: one machine, one file, any number of processes on it.
Guarantees: WAL with `synchronous=FULL`, so a commit that returned survives a power cut; writers
queue in the kernel on `flock(<file>.lock)` before BEGIN IMMEDIATE, since SQLite's own wait polls
and lets two busy processes starve each other; readers never wait. Refuses SQLite before 3.51.3
(a race there could corrupt a WAL database).
Does not: keep a connection across a fork: each process opens its own.
Change colour: red.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import apsw

from settlement.core.clock import time_text
from settlement.core.errors import DatabaseUnavailable
from settlement.store.database import DAMAGED, ConstraintViolated, LostRow, StatementFailed
from settlement.store.lease_clock import LeaseClock, machine_uptime
from settlement.store.migrate import apply_migrations
from settlement.store.presence import share_file
from settlement.store.queries import load_queries
from settlement.store.writes import jobs_due, statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from settlement.core.clock import Clock
    from settlement.core.writeset import WriteSet
    from settlement.store.database import Row
    from settlement.store.lease_clock import Uptime

T = TypeVar("T")

OLDEST: Final = (3, 51, 3)
#: Somebody who skips our lock file (a shell, a backup) may hold the database this long.
BUSY_MILLISECONDS: Final = 10_000
READERS_KEPT: Final = 8
_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # At the default of 1000 pages the checkpoint costs a quarter of the speed.
    "PRAGMA wal_autocheckpoint = 10000",
    "PRAGMA foreign_keys = ON",
    # Without it, INSERT OR REPLACE deletes rows past the triggers that refuse a DELETE.
    "PRAGMA recursive_triggers = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -65536",
)
_FAILED: Final = re.compile(r"(UNIQUE|CHECK|NOT NULL) constraint failed: (.*)", re.DOTALL)
_DATATYPE: Final = 3091  # SQLITE_CONSTRAINT_DATATYPE: a STRICT column was given another type
#: Connections of a parent process. Closing one in a child could disturb the parent's locks.
_INHERITED: list[object] = []


class SqliteTx:
    """A transaction on one connection; see `database.Tx`."""

    __slots__ = (
        "_columns",
        "_connection",
        "_failed",
        "_lease_clock",
        "_lease_us",
        "_queries",
        "_writes",
        "now",
        "now_us",
    )

    def __init__(
        self,
        connection: apsw.Connection,
        now_us: int,
        lease_clock: LeaseClock,
        *,
        writes: bool,
    ) -> None:
        self._connection = connection
        self._queries = load_queries("sqlite")
        self._columns = _COLUMNS
        self._failed = False
        self.now_us = now_us
        self.now = time_text(now_us)
        self._lease_clock = lease_clock
        self._lease_us: int | None = None
        self._writes = writes

    @property
    def lease_us(self) -> int:
        """One per transaction, like `now_us`; found when first asked for, since few need it."""
        if self._lease_us is None:
            self._lease_us = self._lease_clock.read(self, writes=self._writes)
        return self._lease_us

    def run(self, query: str, /, **params: Any) -> int:
        self._execute(self._queries[query], _bound(params))
        return self._connection.changes()

    def one(self, query: str, /, **params: Any) -> Row:
        row = self.maybe(query, **params)
        if row is None:
            raise LostRow(query)
        return row

    def maybe(self, query: str, /, **params: Any) -> Row | None:
        rows = self.all(query, **params)
        return rows[0] if rows else None

    def all(self, query: str, /, **params: Any) -> list[Row]:
        sql = self._queries[query]
        cursor = self._execute(sql, _bound(params))
        try:
            columns = self._columns.get(sql)
            if columns is None:
                description = cursor.description  # raises once there are no rows left
                columns = self._columns[sql] = tuple(column[0] for column in description)
            return [dict(zip(columns, row, strict=True)) for row in cursor]
        except apsw.ExecutionCompleteError:
            return []
        except apsw.Error as error:
            self._fail(error)

    def many(self, query: str, /, rows: Sequence[Mapping[str, Any]]) -> int:
        return sum(self.run(query, **row) for row in rows)

    def write(self, writes: WriteSet) -> None:
        self.check()
        if writes.jobs:
            # Asked for by the wall clock, kept in lease time.
            writes = jobs_due(writes, self.lease_us - self.now_us)
        for statement in statements(writes):
            # Rows changed by triggers count too, but the guarded statements fire none that change.
            before = self._connection.total_changes()
            try:
                self._connection.executemany(self._queries[statement.query], statement.rows)
            except (apsw.Error, TypeError, ValueError) as error:
                self._fail(error)
            changed = self._connection.total_changes() - before
            if statement.lost is not None and changed != len(statement.rows):
                self._failed = True
                raise LostRow(statement.lost)

    def script(self, text: str) -> None:
        """Run all statements of a text."""
        self._execute(text, None)

    def stream(self, text: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a text, never more than a few at a time."""
        try:
            yield from self._execute(text, None)
        except apsw.Error as error:
            self._fail(error)

    def load(self, text: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a text with the values of each row."""
        self.check()
        try:
            self._connection.executemany(text, rows)
        except apsw.Error as error:
            self._fail(error)

    def guards(self, *, on: bool) -> None:
        """Let triggers fire or not, and check foreign keys at once or at the commit."""
        self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, int(on))
        if not on:
            self.script("PRAGMA defer_foreign_keys = ON")

    def check(self) -> None:
        """Refuse to go on after an error that the function swallowed, as PostgreSQL does."""
        if self._failed:
            raise StatementFailed("the transaction went on after a statement had failed")

    def _execute(self, sql: str, params: dict[str, Any] | None) -> apsw.Cursor:
        self.check()
        try:
            return self._connection.execute(sql, params)
        except (apsw.Error, KeyError, TypeError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        self._failed = True
        raise translated(error) from error


#: Column names by statement, for all connections: SQLite forgets them with the last row.
_COLUMNS: dict[str, tuple[str, ...]] = {}


class _Here:
    """What one process holds: a writer behind two locks, readers beside it."""

    def __init__(self, path: Path) -> None:
        self.pid = os.getpid()
        self.path = path
        self.turn = threading.Lock()
        self.owner = 0
        self.share = share_file(path)
        self.lock_file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.writer: apsw.Connection | None = None
        self.readers: list[apsw.Connection] = []

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """Wait for this process's and then this machine's turn; both queues are fair enough."""
        assert self.owner != threading.get_ident(), "a transaction inside a transaction"
        with self.turn:
            self.check_open()
            self.owner = threading.get_ident()
            fcntl.flock(self.lock_file, fcntl.LOCK_EX)
            try:
                if self.writer is None:
                    self.writer = _connect(self.path)
                yield self.writer
            finally:
                fcntl.flock(self.lock_file, fcntl.LOCK_UN)
                self.owner = 0

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        self.check_open()
        try:
            connection = self.readers.pop()
        except IndexError:
            connection = _connect(self.path)
            # What a long read sorts (an audit) may be larger than memory.
            connection.execute("PRAGMA temp_store = FILE")
            connection.execute("PRAGMA query_only = ON")
        try:
            yield connection
        except DatabaseUnavailable:
            connection.close(True)  # noqa: FBT003  # apsw has no name for it
            raise
        except BaseException:
            self._keep(connection)
            raise
        self._keep(connection)

    def check_open(self) -> None:
        if self.lock_file < 0:
            raise DatabaseUnavailable(reason="closed")

    def _keep(self, connection: apsw.Connection) -> None:
        if self.lock_file >= 0 and len(self.readers) < READERS_KEPT:
            self.readers.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        with self.turn:
            for connection in [self.writer, *self.readers]:
                if connection is not None:
                    connection.close()
            self.writer = None
            self.readers.clear()
            if self.lock_file >= 0:
                os.close(self.lock_file)
                os.close(self.share)
            self.lock_file = -1


class SqliteDatabase:
    """One file, opened; see `database.Database`."""

    kind = "sqlite"

    def __init__(self, path: str, clock: Clock, uptime: Uptime = machine_uptime) -> None:
        check_version(apsw.sqlite_lib_version())
        self._path = Path(path)
        self._clock = clock
        self._lease_clock = LeaseClock(uptime)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._state = _Here(self._path)
        except OSError as error:
            raise DatabaseUnavailable(reason=str(error)) from error
        # The first process to open the file switches it to WAL, which needs it alone.
        with self._state.writing():
            pass

    def transaction(self, fn: Callable[[SqliteTx], T], /) -> T:
        """Run and commit, alone among all processes that use this file."""
        here = self._here()
        with here.writing() as connection:
            try:
                return self._run(connection, fn, writes=True)
            except DatabaseUnavailable:
                # After a failed read or write a fresh connection trusts nothing it had cached.
                here.writer = None
                connection.close(True)  # noqa: FBT003  # apsw has no name for it
                raise

    def read(self, fn: Callable[[SqliteTx], T], /) -> T:
        """Run on the snapshot that the first statement sees; never waits for a writer."""
        with self._here().reading() as connection:
            return self._run(connection, fn, writes=False)

    def migrate(self, up_to: int | None = None) -> list[str]:
        """Apply missing migrations while no other process can write."""
        return self.transaction(lambda tx: apply_migrations(tx, "sqlite", up_to))

    def close(self) -> None:
        """Close all connections of this process."""
        self._here().close()

    def _here(self) -> _Here:
        if self._state.pid != os.getpid():
            _INHERITED.append(self._state)
            self._state = _Here(self._path)
        return self._state

    def _run(self, connection: apsw.Connection, fn: Callable[[SqliteTx], T], *, writes: bool) -> T:
        try:
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            tx = SqliteTx(connection, self._clock.now_us(), self._lease_clock, writes=writes)
            result = fn(tx)
            tx.check()
            connection.execute("COMMIT")
        except apsw.Error as error:
            raise translated(error) from error
        finally:
            if connection.in_transaction:
                _roll_back(connection)
        return result


def check_version(version: str) -> None:
    """Raise RuntimeError for an SQLite that must not be used."""
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise RuntimeError(f"SQLite {version} is too old: install apsw {oldest} or newer")


def translated(error: Exception) -> Exception:
    """A driver's error as one of ours."""
    match error:
        case apsw.ConstraintError() if getattr(error, "extendedresult", 0) != _DATATYPE:
            return ConstraintViolated(*_constraint(str(error)))
        case apsw.BusyError() | apsw.LockedError():
            return DatabaseUnavailable(reason="locked by another process")
        case apsw.FullError():
            return DatabaseUnavailable(reason="disk full")
        case apsw.IOError() | apsw.CantOpenError() | apsw.NoMemError() | apsw.ProtocolError():
            return DatabaseUnavailable(reason=str(error))
        case apsw.CorruptError() | apsw.NotADBError():
            return DatabaseUnavailable(reason=f"{DAMAGED}: {error}")
    return StatementFailed(f"{type(error).__name__}: {error}")


def _constraint(message: str) -> tuple[str, str]:
    """Name and detail of a refusal, in the words of `ConstraintViolated`."""
    found = _FAILED.match(message)
    if found is None:
        name = message.removeprefix("settlement: ")
        return ("foreign_key", "") if name.startswith("FOREIGN KEY") else (name, "")
    sort, what = found.groups()
    if sort == "CHECK":
        return what, ""
    if sort == "NOT NULL":
        return f"not_null: {what}", ""
    columns = [column.rpartition(".")[2] for column in what.split(", ")]
    return f"unique: {what.partition('.')[0]}({', '.join(columns)})", ""


def _bound(params: dict[str, Any]) -> dict[str, Any]:
    """SQLite has no arrays: a list goes in as JSON text, which json_each opens."""
    for name, value in params.items():
        if isinstance(value, list | tuple):
            params[name] = json.dumps(value, ensure_ascii=False)
    return params


def _connect(path: Path) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path), statementcachesize=500)
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        for setting in _SETTINGS:
            connection.execute(setting)
    except apsw.Error as error:
        raise translated(error) from error
    return connection


def _roll_back(connection: apsw.Connection) -> None:
    try:
        connection.execute("ROLLBACK")
    except apsw.Error as error:
        # Then the connection is not to be trusted; whoever holds it closes it on this error.
        raise DatabaseUnavailable(reason=f"could not roll back: {error}") from error
