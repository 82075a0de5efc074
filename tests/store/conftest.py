"""Databases for tests of the store: opened and migrated, one per test or one per module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from settlement.store.database import Database, open_database
from tests.store.make import Story
from tests.support.postgres import fresh_database
from tests.support.raw import Raw, open_raw

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """An empty, migrated database."""
    database = open_database(database_url)
    database.migrate()
    yield database
    database.close()


@dataclass(frozen=True, slots=True)
class Books:
    """A database with a few agents in it, to be shared: each test uses its own deals."""

    db: Database
    raw: Raw
    #: On SQLite a connection that does not check foreign keys, as every shell's: what it is refused
    #: is refused by the file itself. On PostgreSQL the same as `raw`.
    shell: Raw
    url: str


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def books(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Books]:
    if request.param == "sqlite":
        yield from _books(f"sqlite:///{tmp_path_factory.mktemp('books') / 'books.db'}")
        return
    with fresh_database(request.getfixturevalue("postgres_server"), label="books") as url:
        yield from _books(url)


def _books(url: str) -> Iterator[Books]:
    database = open_database(url)
    database.migrate()
    world = Story().world("agent_seller", "agent_buyer", "agent_other")
    database.transaction(lambda tx: tx.write(world))
    with open_raw(url, foreign_keys=True) as raw, open_raw(url) as shell:
        yield Books(database, raw, shell, url)
    database.close()
