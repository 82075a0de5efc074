"""PostgreSQL behind the seam, through psycopg 3 and its pool.

For: more than one machine: any number of processes over one database.
Guarantees: READ COMMITTED with the row locks our statements take; `synchronous_commit` is on in
every session, whatever the role's default; a deadlock or serialization failure runs the whole
function again, here and nowhere else; `read` is one REPEATABLE READ snapshot.
Does not: say whether a commit landed when the connection died in it. That is DatabaseUnavailable,
and the caller repeats under the same key.
Change colour: red.
"""

from __future__ import annotations

import os
import random
import re
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import psycopg
import psycopg_pool
from psycopg import errors
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from psycopg.types.numeric import Int8Dumper

from settlement.core.clock import time_text
from settlement.core.errors import DatabaseUnavailable
from settlement.store.database import ConstraintViolated, LostRow, NotAllowed, StatementFailed
from settlement.store.migrate import apply_migrations
from settlement.store.presence import BEING_REPLACED
from settlement.store.queries import load_queries
from settlement.store.writes import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from psycopg.abc import Buffer

    from settlement.core.writeset import WriteSet
    from settlement.store.database import Row
    from settlement.store.writes import Statement

T = TypeVar("T")

POOL_MAX: Final = 12
CONNECT_SECONDS: Final = 10
#: Each attempt loses to a rival that committed, so the system as a whole moved on.
ATTEMPTS: Final = 20
STREAM_ROWS: Final = 1000
_KEY: Final = re.compile(r"Key \((.*?)\)=")
_AGAIN: Final = (errors.SerializationFailure, errors.DeadlockDetected)
#: Pools of a parent process: its sockets are not ours to close.
_INHERITED: list[object] = []


class PostgresTx:
    """A transaction on one connection; see `database.Tx`."""

    __slots__ = ("_connection", "_failed", "_queries", "again", "now", "now_us")

    def __init__(self, connection: psycopg.Connection[Any], now_us: int) -> None:
        self._connection = connection
        self._queries = load_queries("postgres")
        self._failed = False
        #: The database asked for the whole function to run again.
        self.again = False
        self.now_us = now_us
        self.now = time_text(now_us)

    @property
    def lease_us(self) -> int:
        """The server's clock is one for all its clients."""
        return self.now_us

    def run(self, query: str, /, **params: Any) -> int:
        return self._execute(query, params).rowcount

    def one(self, query: str, /, **params: Any) -> Row:
        row = self.maybe(query, **params)
        if row is None:
            raise LostRow(query)
        return row

    def maybe(self, query: str, /, **params: Any) -> Row | None:
        rows = self.all(query, **params)
        return rows[0] if rows else None

    def all(self, query: str, /, **params: Any) -> list[Row]:
        cursor = self._execute(query, params)
        columns = [column.name for column in cursor.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def many(self, query: str, /, rows: Sequence[Mapping[str, Any]]) -> int:
        cursor = self._connection.cursor()
        try:
            cursor.executemany(self._queries[query], rows)
        except psycopg.Error as error:
            self._fail(error)
        return max(cursor.rowcount, 0)

    def write(self, writes: WriteSet) -> None:
        # Pipelined: all statements travel before the first answer is awaited.
        sent: list[tuple[Statement, psycopg.Cursor[Any]]] = []
        try:
            with self._connection.pipeline():
                for statement in statements(writes):
                    columns = map(list, zip(*statement.rows, strict=True))
                    params = dict(zip(statement.names, columns, strict=True))
                    cursor = self._connection.execute(self._queries[statement.query], params)
                    sent.append((statement, cursor))
        except psycopg.Error as error:
            self._fail(error)
        for statement, cursor in sent:
            if statement.lost is not None and cursor.rowcount != len(statement.rows):
                self._failed = True
                raise LostRow(statement.lost)

    def script(self, text: str) -> None:
        """Run all statements of a text."""
        try:
            self._connection.execute(text.encode(), prepare=False)
        except psycopg.Error as error:
            self._fail(error)

    def stream(self, text: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a text, through a cursor of the server's: a page of them at a time."""
        try:
            with self._connection.cursor("settlement_stream") as cursor:
                cursor.itersize = STREAM_ROWS
                cursor.execute(text.encode())
                yield from cursor
        except psycopg.Error as error:
            self._fail(error)

    def load(self, text: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Send rows into a COPY."""
        try:
            with self._connection.cursor() as cursor, cursor.copy(text.encode()) as copy:
                for row in rows:
                    copy.write_row(row)
        except psycopg.Error as error:
            self._fail(error)

    def guards(self, *, on: bool) -> None:
        """Let our triggers fire or not; foreign keys are checked either way."""
        self.script(self._queries["copy_guards_on" if on else "copy_guards_off"])

    def check(self) -> None:
        """Refuse to commit after an error that the function swallowed."""
        if self._failed:
            raise StatementFailed("the transaction went on after a statement had failed")

    def _execute(self, query: str, params: dict[str, Any]) -> psycopg.Cursor[Any]:
        try:
            return self._connection.execute(self._queries[query], params)
        except psycopg.Error as error:
            self._fail(error)

    def _fail(self, error: psycopg.Error) -> NoReturn:
        self._failed = True
        self.again = self.again or isinstance(error, _AGAIN)
        raise translated(error) from error


class PostgresDatabase:
    """A pool of connections; see `database.Database`."""

    kind = "postgres"

    def __init__(self, url: str) -> None:
        self._url = url
        self._pid = os.getpid()
        self._pool = _open_pool(url)

    def transaction(self, fn: Callable[[PostgresTx], T], /) -> T:
        """Run and commit; again from the start when the database says it lost a race."""
        for attempt in range(ATTEMPTS):
            done, result = self._attempt("transaction_begin", fn)
            if done:
                return result  # type: ignore[return-value]  # done: it is what fn returned
            # Two rivals that retry in step would meet again.
            time.sleep(random.randrange(1, 2 + attempt) / 1000)  # noqa: S311  # no secret
        raise DatabaseUnavailable(reason="lost too many races")

    def read(self, fn: Callable[[PostgresTx], T], /) -> T:
        """Run on one snapshot."""
        done, result = self._attempt("transaction_begin_read", fn)
        if not done:
            raise DatabaseUnavailable(reason="the snapshot was lost")
        return result  # type: ignore[return-value]  # done: it is what fn returned

    def migrate(self) -> list[str]:
        """Apply missing migrations under an advisory lock."""

        def locked(tx: PostgresTx) -> list[str]:
            tx.script(load_queries("postgres")["migration_lock"])
            return apply_migrations(tx, "postgres")

        return self.transaction(locked)

    def close(self) -> None:
        """Close all connections of this process."""
        if self._pid == os.getpid():
            self._pool.close()

    def _attempt(self, begin: str, fn: Callable[[PostgresTx], T]) -> tuple[bool, T | None]:
        connection, tx = self._begin(begin)
        try:
            result = fn(tx)
            if tx.again:
                return False, None
            tx.check()
            if _commit(connection):
                return True, result
        except Exception:
            if not tx.again:
                raise
        finally:
            self._give_back(connection)
        return False, None

    def _begin(self, begin: str) -> tuple[psycopg.Connection[Any], PostgresTx]:
        """A connection inside a transaction. One that died while idle has done nothing yet, so
        another is tried: after a restart of the server the pool is full of those."""
        text = load_queries("postgres")[begin].encode()
        for _ in range(POOL_MAX + 1):
            connection = self._take()
            try:
                cursor = connection.execute(text, prepare=False)
                cursor.nextset()
                row = cursor.fetchone()
                assert row is not None
                return connection, PostgresTx(connection, row[0])
            except psycopg.OperationalError as error:
                last = error
                connection.close()
                self._give_back(connection)
        raise translated(last) from last

    def _take(self) -> psycopg.Connection[Any]:
        if self._pid != os.getpid():
            _INHERITED.append(self._pool)
            self._pid = os.getpid()
            self._pool = _open_pool(self._url)
        try:
            return self._pool.getconn()
        except (psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
            raise DatabaseUnavailable(reason=str(error)) from error

    def _give_back(self, connection: psycopg.Connection[Any]) -> None:
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute(b"ROLLBACK", prepare=False)
        except psycopg.Error:
            # The server rolls back what a closed connection had begun.
            connection.close()
        self._pool.putconn(connection)


def _commit(connection: psycopg.Connection[Any]) -> bool:
    """Commit; False when the function has to run again."""
    try:
        cursor = connection.execute(b"COMMIT", prepare=False)
    except _AGAIN:
        return False
    except psycopg.Error as error:
        raise translated(error) from error
    # COMMIT of a failed transaction "succeeds" with this status.
    assert cursor.statusmessage == "COMMIT"
    return True


def translated(error: psycopg.Error) -> Exception:
    """A driver's error as one of ours."""
    diag = error.diag
    match error:
        case errors.UniqueViolation():
            key = _KEY.match(diag.message_detail or "")
            columns = key.group(1) if key else "?"
            return ConstraintViolated(f"unique: {diag.table_name}({columns})")
        case errors.NotNullViolation():
            return ConstraintViolated(f"not_null: {diag.table_name}.{diag.column_name}")
        case errors.ForeignKeyViolation() if (diag.constraint_name or "").endswith("_fkey"):
            return ConstraintViolated("foreign_key", diag.constraint_name or "")
        case psycopg.IntegrityError():
            return ConstraintViolated(diag.constraint_name or str(error))
        case psycopg.OperationalError():
            return DatabaseUnavailable(reason=diag.message_primary or type(error).__name__)
    lacks_right = isinstance(error, errors.InsufficientPrivilege)
    return (NotAllowed if lacks_right else StatementFailed)(f"{type(error).__name__}: {error}")


class _ArrayDumper(Dumper):
    """A list as an array literal of no declared type; the statement says what it holds.

    The driver's own dumper looks at each element twice and costs more than the insert.
    """

    def dump(self, obj: list[Any]) -> Buffer:
        return array_literal(obj).encode()


class _WholeLoader(Loader):
    """numeric, which sums of bigint are, as int; a fraction is a programmer's error."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


def array_literal(values: list[Any]) -> str:
    """PostgreSQL's text form of a one-dimensional array of texts or integers.

    All the columns of a batch pass here, so each kind of column has its short way.
    """
    nulls = values.count(None)
    if nulls == len(values):
        return "{" + ",".join(["NULL"] * nulls) + "}"
    present = values if nulls == 0 else [value for value in values if value is not None]
    if isinstance(present[0], int):
        return "{" + ",".join(["NULL" if v is None else str(v) for v in values]) + "}"
    joined = "".join(present)
    if "\\" in joined or '"' in joined:
        values = [v and v.replace("\\", "\\\\").replace('"', '\\"') for v in values]
    if nulls == 0:
        return '{"' + '","'.join(values) + '"}'
    return "{" + ",".join(["NULL" if v is None else f'"{v}"' for v in values]) + "}"


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    # One type for all integers: the driver's choice by size would prepare a statement per mix.
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_dumper(list, _ArrayDumper)
    adapters.register_loader("numeric", _WholeLoader)
    return adapters


class _Connection(psycopg.Connection[Any]):
    """A connection that speaks with our adapters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._adapters = _adapters()


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection of one's own, set up as the pool's are, but without a share in the database."""
    try:
        connection = _Connection.connect(url, autocommit=True, row_factory=tuple_row)
        _set_up(connection)
    except psycopg.Error as error:
        raise translated(error) from error
    return connection


def _set_up(connection: psycopg.Connection[Any]) -> None:
    connection.execute(load_queries("postgres")["transaction_settings"].encode(), prepare=False)


def _configure(connection: psycopg.Connection[Any]) -> None:
    _set_up(connection)
    queries = load_queries("postgres")
    row = connection.execute(queries["presence_share"].encode(), prepare=False).fetchone()
    if row != (True,):
        raise psycopg.OperationalError(BEING_REPLACED)


def _open_pool(url: str) -> psycopg_pool.ConnectionPool[psycopg.Connection[Any]]:
    pool: psycopg_pool.ConnectionPool[psycopg.Connection[Any]] = psycopg_pool.ConnectionPool(
        url,
        connection_class=_Connection,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": tuple_row},
        configure=_configure,
        min_size=1,
        max_size=POOL_MAX,
        timeout=CONNECT_SECONDS,
        open=False,
    )
    try:
        pool.open(wait=True, timeout=CONNECT_SECONDS)
    except psycopg_pool.PoolTimeout as error:
        pool.close()
        raise DatabaseUnavailable(reason="could not connect") from error
    return pool
