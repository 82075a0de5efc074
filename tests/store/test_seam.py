"""The seam's promises, once for both databases: all or nothing, one snapshot, the same refusals."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.clock import parse_time
from settlement.core.errors import DatabaseUnavailable
from settlement.store.database import (
    ConstraintViolated,
    Database,
    LostRow,
    StatementFailed,
    Tx,
    open_database,
)
from settlement.store.sqlite import check_version
from tests.store import make
from tests.store.make import NOW, Story
from tests.support.raw import open_raw, sql

if TYPE_CHECKING:
    from collections.abc import Callable

NEW = {"number": 99, "name": "x", "checksum": "", "applied_at": NOW}


def add(number: int = 99) -> Callable[[Tx], int]:
    return lambda tx: tx.run("migration_insert", **{**NEW, "number": number})


def numbers(db: Database) -> list[int]:
    return [row["number"] for row in db.read(lambda tx: tx.all("migration_all"))]


def test_a_transaction_commits_and_gives_its_result(db: Database) -> None:
    assert db.transaction(add()) == 1
    assert 99 in numbers(db)


def test_an_error_rolls_everything_back(db: Database) -> None:
    def fail(tx: Tx) -> None:
        add()(tx)
        raise LookupError("changed my mind")

    with pytest.raises(LookupError):
        db.transaction(fail)
    assert 99 not in numbers(db)


def test_a_refusal_rolls_everything_back(db: Database) -> None:
    def twice(tx: Tx) -> None:
        add()(tx)
        add()(tx)

    with pytest.raises(ConstraintViolated) as refusal:
        db.transaction(twice)
    assert refusal.value.name == "unique: schema_migration(number)"
    assert 99 not in numbers(db)


def test_a_refusal_that_is_swallowed_still_rolls_back(db: Database) -> None:
    def stubborn(tx: Tx) -> None:
        add(98)(tx)
        with pytest.raises(ConstraintViolated):
            add(98)(tx)

    with pytest.raises(StatementFailed):
        db.transaction(stubborn)
    assert 98 not in numbers(db)


def test_nothing_runs_after_a_refusal(db: Database) -> None:
    def stubborn(tx: Tx) -> None:
        with pytest.raises(ConstraintViolated):
            add(1)(tx)
        add(98)(tx)

    with pytest.raises(StatementFailed):
        db.transaction(stubborn)
    assert 98 not in numbers(db)


def test_a_missing_value_is_named(db: Database) -> None:
    with pytest.raises(ConstraintViolated) as refusal:
        db.transaction(lambda tx: tx.run("migration_insert", **{**NEW, "name": None}))
    assert refusal.value.name == "not_null: schema_migration.name"


@pytest.mark.parametrize(
    "params", [{}, {**NEW, "number": "not a number"}], ids=["missing", "of another type"]
)
def test_a_wrong_parameter_is_a_failed_statement(db: Database, params: dict[str, Any]) -> None:
    with pytest.raises(StatementFailed):
        db.transaction(lambda tx: tx.run("migration_insert", **params))


def test_reads_cannot_write(db: Database) -> None:
    with pytest.raises(StatementFailed):
        db.read(add())
    assert 99 not in numbers(db)


def test_a_read_is_one_snapshot(db: Database) -> None:
    def look_twice(tx: Tx) -> tuple[int, int]:
        before = len(tx.all("migration_all"))
        db.transaction(add())
        return before, len(tx.all("migration_all"))

    before, after = db.read(look_twice)
    assert before == after
    assert 99 in numbers(db)


def test_a_transaction_sees_what_it_wrote(db: Database) -> None:
    def write_and_look(tx: Tx) -> list[int]:
        add()(tx)
        return [row["number"] for row in tx.all("migration_all")]

    assert 99 in db.transaction(write_and_look)


def test_time_is_one_per_transaction(db: Database) -> None:
    first = db.transaction(lambda tx: (tx.now, tx.now_us))
    second = db.transaction(lambda tx: (tx.now, tx.now_us))
    assert parse_time(first[0]) == first[1]
    assert first[1] <= second[1]


def test_one_wants_a_row_and_maybe_does_not(db: Database) -> None:
    query, nothing = "agent_by_ids", {"ids": ["agent_none"]}
    assert db.read(lambda tx: tx.maybe(query, **nothing)) is None
    with pytest.raises(LostRow):
        db.read(lambda tx: tx.one(query, **nothing))
    db.transaction(lambda tx: tx.write(Story().world("agent_a")))
    assert db.read(lambda tx: tx.one(query, ids=["agent_a", "agent_b"]))["agent_id"] == "agent_a"


def test_many_counts_all_rows(db: Database) -> None:
    rows = [{**NEW, "number": number} for number in (97, 98, 99)]
    assert db.transaction(lambda tx: tx.many("migration_insert", rows)) == 3
    assert db.transaction(lambda tx: tx.many("migration_insert", [])) == 0


@pytest.mark.parametrize(
    "text", ['say "no"', "back\\slash", "{curly,comma}", "NULL", "", "  ", "ключ 鍵 🔑", "a%sb%%"]
)
def test_texts_come_back_as_they_went(db: Database, text: str) -> None:
    agents = [make.agent("agent_a", name=text), make.agent("agent_b", description=text, name="b")]
    writes = Story().world()
    writes.agents = agents
    db.transaction(lambda tx: tx.write(writes))
    found = db.read(lambda tx: tx.all("agent_by_names", names=[text, "b"]))
    assert [(row["agent_id"], row["name"], row["description"]) for row in sorted(
        found, key=lambda row: str(row["agent_id"])
    )] == [(agent.agent_id, agent.name, agent.description) for agent in agents]  # fmt: skip


def test_a_list_may_be_empty(db: Database) -> None:
    assert db.read(lambda tx: tx.all("agent_by_ids", ids=[])) == []


def test_threads_share_a_database(db: Database) -> None:
    together = threading.Barrier(8)

    def work(number: int) -> None:
        together.wait()
        db.transaction(add(number))
        assert number in numbers(db)

    threads = [threading.Thread(target=work, args=(100 + n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(range(100, 108)) <= set(numbers(db))


def test_two_databases_on_one_file_or_server_see_each_other(
    db: Database, database_url: str
) -> None:
    other = open_database(database_url)
    try:
        other.transaction(add())
        assert 99 in numbers(db)
    finally:
        other.close()


def test_closed_is_unavailable_and_nothing_hangs(db: Database) -> None:
    db.close()
    with pytest.raises(DatabaseUnavailable):
        numbers(db)
    with pytest.raises(DatabaseUnavailable):
        db.transaction(add())


def test_another_schemes_url_is_refused_without_its_secrets() -> None:
    with pytest.raises(ValueError, match="not a database URL") as error:
        open_database("mysql://user:secret@host/db")
    assert "secret" not in str(error.value)


def test_commits_wait_for_the_disk_whatever_the_database_prefers(postgres_url: str) -> None:
    with open_raw(postgres_url) as raw:
        name = raw.rows("SELECT current_database()")[0][0]
        raw.run([sql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')])
    db = open_database(postgres_url)
    try:
        with db._pool.connection() as connection:  # type: ignore[attr-defined]  # looking inside
            mode = connection.execute("SHOW synchronous_commit").fetchone()
        assert mode == ("on",)
    finally:
        db.close()


def test_the_file_is_in_wal_mode(sqlite_url: str) -> None:
    open_database(sqlite_url).close()
    with open_raw(sqlite_url) as raw:
        assert raw.rows("PRAGMA journal_mode") == [("wal",)]


def test_an_old_sqlite_is_refused() -> None:
    check_version("3.51.3")
    check_version("3.60.0")
    with pytest.raises(RuntimeError, match="too old"):
        check_version("3.51.2")
