"""A database to try things on: a copy of an SQLite file, or an empty one beside a PostgreSQL one.

For: `settlement prove-mover`.
Guarantees: the database it is made from is only read; what was made is removed however the block
ends. A copy is one snapshot, also beside a running server.
Does not: migrate what it made empty.
Change colour: green.
"""

from __future__ import annotations

import secrets
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import apsw
import psycopg
from psycopg import sql

from settlement.store.database import StoreError
from settlement.store.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Database

_SQLITE: Final = "sqlite:///"


class NoScratch(StoreError):
    """A scratch database could not be made; says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """Where it is, whether it is a copy, and a directory for what goes beside it."""

    url: str
    is_copy: bool
    directory: Path


@contextmanager
def scratch_database(url: str) -> Iterator[Scratch]:
    """Make one from the database of a URL; raises NoScratch."""
    with tempfile.TemporaryDirectory(prefix="settlement-scratch-") as name:
        directory = Path(name)
        if url.startswith(_SQLITE):
            target = directory / "scratch.db"
            copied = _copy_sqlite(Path(url.removeprefix(_SQLITE)), target)
            yield Scratch(url=f"{_SQLITE}{target}", is_copy=copied, directory=directory)
            return
        with _beside_postgres(url) as beside:
            yield Scratch(url=beside, is_copy=False, directory=directory)


def guards_of(db: Database) -> dict[str, str]:
    """Every trigger and constraint of a database, by name, with its definition's digest."""
    rows = db.read(lambda tx: tx.all("prove_guards"))
    return {str(row["name"]): str(row["digest"]) for row in rows}


def _copy_sqlite(source: Path, target: Path) -> bool:
    if not source.exists():
        return False
    try:
        live = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
        copy = apsw.Connection(str(target))
        with copy.backup("main", live, "main") as backup:
            backup.step(-1)
        copy.close()
        live.close()
    except apsw.Error as error:
        raise NoScratch(f"{source} could not be copied: {error}") from error
    return True


@contextmanager
def _beside_postgres(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    name = f"settlement_scratch_{secrets.token_hex(6)}"
    try:
        live = psycopg.connect(url, autocommit=True)
    except psycopg.Error as error:
        raise NoScratch(f"the database did not answer: {error}") from error
    with live:
        try:
            live.execute(_named("scratch_create", name))
        except psycopg.Error as error:
            raise NoScratch(
                f"no scratch database could be made ({error.diag.message_primary}), so nothing"
                " was tried and nothing is known: name a role that may create databases, with"
                " --database"
            ) from error
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            live.execute(_named("scratch_drop", name))


def _named(query: str, name: str) -> sql.Composed:
    text = load_queries("postgres")[query]
    return sql.SQL(text).format(name=sql.Identifier(name))
