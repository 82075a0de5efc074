"""The seam: what the rest of the house may ask of a database, whichever of the two it is.

For: services and the engine, which get a `Database` and write functions of one `Tx`.
Guarantees: `transaction` commits what its function did, or nothing; when it returns, the commit
is on disk. `read` sees one consistent snapshot. Refusals by the database arrive as
`ConstraintViolated`, with one name for both databases. A database that cannot answer is
`DatabaseUnavailable`: whether a commit landed is then unknown, and repeating under the same key is
the only safe thing to do.
Does not: hide that a function may run again. It touches nothing but its `Tx` (design §5).
Change colour: red.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from settlement.store.lease_clock import Uptime, machine_uptime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from settlement.core.clock import Clock
    from settlement.core.writeset import WriteSet

T = TypeVar("T")
Row: TypeAlias = "dict[str, Any]"


#: How the reason of a DatabaseUnavailable begins when no waiting helps.
DAMAGED: Final = "the file is damaged"


class StoreError(Exception):
    """Root of what the store itself raises; drivers' own errors never pass the seam."""


class ConstraintViolated(StoreError):
    """The database refused a row. `name` is stable and the same on both databases.

    Named CHECKs, foreign keys and triggers give their own name; other constraints give
    `unique: table(column, ...)`, `not_null: table.column` or `foreign_key`.
    """

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name
        self.detail = detail


class LostRow(StoreError):
    """A guarded change met no row: the fence, state or version it expected has moved on."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class StatementFailed(StoreError):
    """A programmer's error in a statement or its parameters; never a refusal by a rule."""


class NotAllowed(StatementFailed):
    """The database's role lacks a right; says which."""


class MigrationRefused(StoreError):
    """The database's history and the files of this release do not agree."""


class Tx(Protocol):
    """One transaction. Parameters are named; a list becomes an array (JSON text on SQLite).

    After any error the transaction can only roll back: catching one and going on raises
    `StatementFailed` at the end, on both databases.
    """

    now: str
    now_us: int

    @property
    def lease_us(self) -> int:
        """Now, as leases, retries and due times count: it never jumps (`lease_clock.py`)."""
        ...

    def run(self, query: str, /, **params: Any) -> int:
        """Run a statement; the number of rows it changed."""
        ...

    def one(self, query: str, /, **params: Any) -> Row:
        """The one row there must be; raises LostRow when there is none."""
        ...

    def maybe(self, query: str, /, **params: Any) -> Row | None:
        """The row, if there is one."""
        ...

    def all(self, query: str, /, **params: Any) -> list[Row]:
        """All rows."""
        ...

    def many(self, query: str, /, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once per row of parameters; the number of rows changed in all."""
        ...

    def write(self, writes: WriteSet) -> None:
        """Write a whole write set, a statement per table; raises LostRow on a stale change."""
        ...


class Database(Protocol):
    """A database, opened. Safe to share between threads, and to use again after a fork."""

    @property
    def kind(self) -> str:
        """sqlite or postgres."""
        ...

    def transaction(self, fn: Callable[[Tx], T], /) -> T:
        """Run the function and commit; it may run more than once."""
        ...

    def read(self, fn: Callable[[Tx], T], /) -> T:
        """Run the function on one snapshot; writing fails."""
        ...

    def migrate(self) -> list[str]:
        """Bring the schema up to date; the names of the migrations applied, oldest first."""
        ...

    def close(self) -> None:
        """Let go of all connections; running transactions end first."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1000


def open_database(
    url: str, clock: Clock | None = None, uptime: Uptime = machine_uptime
) -> Database:
    """Open `sqlite:///path` or `postgresql://...`; raises ValueError for any other URL.

    On SQLite `clock` stamps transactions and `uptime` ages leases. On PostgreSQL the database's own
    clock does both, since its clients are many machines whose clocks differ.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        from settlement.store.sqlite import SqliteDatabase

        return SqliteDatabase(rest[1:], clock or SystemClock(), uptime)
    if scheme in ("postgresql", "postgres"):
        from settlement.store.postgres import PostgresDatabase

        return PostgresDatabase(url)
    raise ValueError(f"not a database URL (sqlite:///path or postgresql://...): {scheme}://...")
