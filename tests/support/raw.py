"""A database past the seam: raw SQL on a connection of its own, as an operator's shell would have.

SQLite connections are opened as a plain shell opens them (foreign keys off, which is the default),
so that what is refused is refused by the file itself; PostgreSQL connections are a superuser's.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

import apsw
import psycopg

from settlement.store import postgres, sqlite
from settlement.store.queries import to_psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TABLES = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement with named parameters."""

    text: str
    params: dict[str, Any]


def sql(text: str, **params: Any) -> Sql:
    return Sql(text, params)


def insert(table: str, row: Any) -> Sql:
    """The row, which is a dataclass with the table's columns, as an INSERT."""
    names = [field.name for field in fields(row)]
    values = ", ".join(f":{name}" for name in names)
    text = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"
    return Sql(text, {name: getattr(row, name) for name in names})


class Raw(Protocol):
    """What tests use; every `run` is one transaction."""

    kind: str

    def run(self, statements: Iterable[Sql]) -> None:
        """Run and commit; raises what the store would raise, and then nothing has changed."""
        ...

    def rows(self, text: str, **params: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        ...


class RawSqlite:
    kind = "sqlite"

    def __init__(self, path: str, *, foreign_keys: bool) -> None:
        self._connection = apsw.Connection(path)
        self._connection.set_busy_timeout(10_000)
        if foreign_keys:
            self._connection.execute("PRAGMA foreign_keys = ON")

    def run(self, statements: Iterable[Sql]) -> None:
        try:
            with self._connection:
                for statement in statements:
                    self._connection.execute(statement.text, statement.params)
        except apsw.Error as error:
            raise sqlite.translated(error) from error

    def rows(self, text: str, **params: Any) -> list[tuple[Any, ...]]:
        return list(self._connection.execute(text, params))

    def close(self) -> None:
        self._connection.close()


class RawPostgres:
    kind = "postgres"

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def run(self, statements: Iterable[Sql]) -> None:
        try:
            with self._connection.transaction():
                for statement in statements:
                    text = to_psycopg(statement.text)
                    self._connection.execute(text.encode(), statement.params)
        except psycopg.Error as error:
            raise postgres.translated(error) from error

    def rows(self, text: str, **params: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(to_psycopg(text).encode(), params).fetchall()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def open_raw(url: str, *, foreign_keys: bool = False) -> Iterator[RawSqlite | RawPostgres]:
    """Open a database by the URL that `open_database` takes."""
    raw: RawSqlite | RawPostgres
    if url.startswith("sqlite:///"):
        raw = RawSqlite(url.removeprefix("sqlite:///"), foreign_keys=foreign_keys)
    else:
        raw = RawPostgres(url)
    try:
        yield raw
    finally:
        raw.close()


def contents(raw: Raw) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, to see that nothing has changed."""
    tables = sorted(row[0] for row in raw.rows(TABLES[raw.kind]))
    return {table: sorted(raw.rows(f'SELECT * FROM "{table}"'), key=repr) for table in tables}
