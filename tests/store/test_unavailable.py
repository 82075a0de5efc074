"""A database that cannot answer is `DatabaseUnavailable`, and works again when it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from settlement.core.errors import DatabaseUnavailable
from settlement.core.writeset import WriteSet
from settlement.store import postgres, sqlite
from settlement.store.database import Database, Tx, open_database
from tests.store import make

if TYPE_CHECKING:
    from collections.abc import Iterator


def agents(count: int, prefix: str = "a") -> WriteSet:
    names = [f"agent_{prefix}{n}" for n in range(count)]
    return WriteSet(agents=[make.agent(name, description="x" * 500) for name in names])


def count(db: Database) -> int:
    def look(tx: Tx) -> int:
        return len(tx.all("agent_by_ids", ids=[agent.agent_id for agent in agents(1_000).agents]))

    return db.read(look)


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Iterator[Database]:
    db = open_database(sqlite_url)
    db.migrate()
    yield db
    db.close()


@pytest.fixture
def on_postgres(postgres_url: str) -> Iterator[Database]:
    db = open_database(postgres_url)
    db.migrate()
    yield db
    db.close()


def test_a_full_disk_is_unavailable_and_leaves_nothing(on_sqlite: Database) -> None:
    on_sqlite.transaction(lambda tx: tx.write(agents(1)))
    # Our own writer is told that the file may not grow: SQLite answers as on a full disk.
    on_sqlite._state.writer.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]
    with pytest.raises(DatabaseUnavailable, match="disk full"):
        on_sqlite.transaction(lambda tx: tx.write(agents(1_000, prefix="b")))
    assert count(on_sqlite) == 1
    on_sqlite.transaction(lambda tx: tx.write(WriteSet(agents=agents(2).agents[1:])))
    assert count(on_sqlite) == 2


def test_a_shell_that_holds_the_file_makes_it_unavailable(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 20)
    db = open_database(sqlite_url)
    db.migrate()
    shell = apsw.Connection(sqlite_url.removeprefix("sqlite:///"))
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="locked"):
        db.transaction(lambda tx: tx.write(agents(1)))
    assert count(db) == 0
    shell.execute("ROLLBACK")
    shell.close()
    db.transaction(lambda tx: tx.write(agents(1)))
    assert count(db) == 1
    db.close()


def test_a_file_that_is_no_database_is_unavailable(sqlite_url: str) -> None:
    with open(sqlite_url.removeprefix("sqlite:///"), "wb") as file:
        file.write(b"not a database at all " * 1_000)
    with pytest.raises(DatabaseUnavailable, match="damaged"):
        open_database(sqlite_url)


def test_a_connection_lost_on_the_way_is_unavailable_and_leaves_nothing(
    on_postgres: Database,
) -> None:
    def cut(tx: Tx) -> None:
        tx.write(agents(1))
        victim = tx._connection.info.backend_pid  # type: ignore[attr-defined]
        on_postgres.read(
            lambda other: other._connection.execute(  # type: ignore[attr-defined]
                "SELECT pg_terminate_backend(%s::int)", [victim]
            )
        )
        tx.write(agents(1, prefix="b"))

    with pytest.raises(DatabaseUnavailable):
        on_postgres.transaction(cut)
    assert count(on_postgres) == 0
    on_postgres.transaction(lambda tx: tx.write(agents(1)))
    assert count(on_postgres) == 1


def test_a_connection_lost_before_the_commit_is_unavailable(on_postgres: Database) -> None:
    def cut(tx: Tx) -> None:
        tx.write(agents(1))
        victim = tx._connection.info.backend_pid  # type: ignore[attr-defined]
        on_postgres.read(
            lambda other: other._connection.execute(  # type: ignore[attr-defined]
                "SELECT pg_terminate_backend(%s::int)", [victim]
            )
        )

    with pytest.raises(DatabaseUnavailable):
        on_postgres.transaction(cut)
    assert count(on_postgres) == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_server_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", 1)
    with pytest.raises(DatabaseUnavailable):
        open_database("postgresql://postgres@127.0.0.1:9/none")
