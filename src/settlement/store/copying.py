"""Whole tables as rows, out of one database and into another, whichever the two are.

For: backups, restores, and moving between SQLite and PostgreSQL.
Guarantees: the tables come from the database's own catalogue, so a new one is copied without a word
here; rows come in the order of their key, the same on both databases; a row streams through and is
never held with others. While rows are loaded triggers rest (they would count and judge again what
was counted and judged when it happened); CHECKs, unique and foreign keys hold, and the audit reads
all of it afterwards.
Does not: look at what rows mean.

Spec §17.1. Change colour: red.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from settlement.store.database import StatementFailed, Tx
from settlement.store.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from settlement.core.canonical import Json

#: Tables that are not copied, each with the reason.
LEFT_OUT: Final[Mapping[str, str]] = {
    "schema_migration": "checksums of this database's own files; the manifest names the schema",
    "_litestream_lock": "the log shipper's own, in the file it ships",
    "_litestream_seq": "the log shipper's own, in the file it ships",
}
_NAMES: Final = re.compile(r"[a-z_][a-z0-9_]*(, [a-z_][a-z0-9_]*)*|\?(, \?)*")
_KINDS: Final = frozenset({"whole", "text", "bytes"})


class CopyTx(Tx, Protocol):
    """A transaction that can also stream, load, and let the guards rest."""

    def stream(self, text: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a text, a few at a time."""
        ...

    def load(self, text: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Put rows in."""
        ...

    def script(self, text: str) -> None:
        """Run a text that answers nothing."""
        ...

    def guards(self, *, on: bool) -> None:
        """Let triggers fire or not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as the catalogue has it: columns with their kinds, and what sorts its rows."""

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    identity: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(name for name, _ in self.columns)


class Copier:
    """Copies within one transaction of a database of that kind."""

    def __init__(self, tx: Tx, kind: str) -> None:
        self._tx = cast("CopyTx", tx)
        self._kind = kind

    def tables(self) -> tuple[Table, ...]:
        """Every table that is copied, by name."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self._tx.all("copy_columns"):
            found.setdefault(row["table_name"], []).append(row)
        return tuple(
            _table_of(name, rows) for name, rows in sorted(found.items()) if name not in LEFT_OUT
        )

    def count(self, table: Table) -> int:
        """How many rows it has."""
        return int(next(self._tx.stream(self._text("copy_count", table=table.name)))[0])

    def rows(self, table: Table) -> Iterator[dict[str, Json]]:
        """Its rows as canonical values, in the order of its key."""
        text = self._text("copy_rows", table=table.name, columns=table.names, key=table.key)
        names = table.names
        blobs = [name for name, kind in table.columns if kind == "bytes"]
        for values in self._tx.stream(text):
            row: dict[str, Any] = dict(zip(names, values, strict=True))
            for name in blobs:
                row[name] = None if row[name] is None else bytes(row[name]).hex()
            yield row

    @contextmanager
    def loading(self) -> Iterator[Callable[[Table, Iterable[Mapping[str, Json]]], None]]:
        """Empty all tables and take rows in; the guards rest until the block ends."""
        tables = self._load_order()
        self._tx.guards(on=False)
        try:
            for table in reversed(tables):
                self._run("copy_clear", table=table.name)
            yield self._put
            for table in tables:
                for column in table.identity:
                    self._run("copy_identity_reset", table=table.name, column=column)
        except BaseException:
            if self._kind == "sqlite":  # a setting of the connection, not of the transaction
                self._tx.guards(on=True)
            raise
        self._tx.guards(on=True)

    def copy_from(self, source: Copier, turned: Callable[[int], None]) -> None:
        """Take over all rows of another database of the same schema."""
        theirs = {table.name: table for table in source.tables()}
        with self.loading() as put:
            for table in self._load_order():
                put(table, source.rows(theirs[table.name]))
                turned(source.count(theirs[table.name]))

    def _put(self, table: Table, rows: Iterable[Mapping[str, Json]]) -> None:
        marks = ["?"] * len(table.columns)
        text = self._text("copy_insert", table=table.name, columns=table.names, marks=marks)
        self._tx.load(text, (_values(table, row) for row in rows))

    def _load_order(self) -> list[Table]:
        """Parents before children."""
        parents: dict[str, set[str]] = {}
        for row in self._tx.all("copy_parents"):
            parents.setdefault(row["child"], set()).add(row["parent"])
        waiting, ordered = list(self.tables()), list[Table]()
        placed: set[str] = set()
        while waiting:
            free = [one for one in waiting if parents.get(one.name, set()) <= placed]
            if not free:
                names = ", ".join(one.name for one in waiting)
                raise StatementFailed(f"tables that need each other cannot be loaded: {names}")
            ordered += free
            placed |= {one.name for one in free}
            waiting = [one for one in waiting if one.name not in placed]
        return ordered

    def _run(self, query: str, **names: str) -> None:
        self._tx.script(self._text(query, **names))

    def _text(self, query: str, **names: str | Sequence[str]) -> str:
        text = load_queries(self._kind)[query]
        for place, given in names.items():
            name = given if isinstance(given, str) else ", ".join(given)
            assert _NAMES.fullmatch(name), f"{name!r} is no name of the catalogue"
            text = text.replace("{" + place + "}", name)
        return text


def _table_of(name: str, rows: list[dict[str, Any]]) -> Table:
    columns = tuple((row["column_name"], row["kind"]) for row in rows)
    strange = [kind for _, kind in columns if kind not in _KINDS]
    if strange:
        raise StatementFailed(f"{name} has a column of type {strange[0]}, which is not copied")
    keyed = sorted((row for row in rows if row["key_position"]), key=lambda r: r["key_position"])
    return Table(
        name=name,
        columns=columns,
        # Without a primary key the order of all columns is an order just as well.
        key=tuple(row["column_name"] for row in keyed or rows),
        identity=tuple(row["column_name"] for row in rows if row["is_identity"]),
    )


def _values(table: Table, row: Mapping[str, Json]) -> tuple[Any, ...]:
    if row.keys() != set(table.names):
        raise StatementFailed(f"a row of {table.name} has other columns than the table")
    return tuple(
        bytes.fromhex(str(row[name])) if kind == "bytes" and row[name] is not None else row[name]
        for name, kind in table.columns
    )
