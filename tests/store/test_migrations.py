"""Migrations: once, in order, together or not at all; both databases end up alike.

Set SETTLEMENT_WRITE_DUMPS=1 to write the dumps anew after a new migration.
"""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.core import rows
from settlement.store import migrate, writes
from settlement.store.database import MigrationRefused, open_database
from settlement.store.queries import KINDS, load_queries
from tests.store import schema
from tests.support.raw import open_raw, sql

if TYPE_CHECKING:
    from settlement.store.database import Database

HERE = Path(__file__).parent
TABLES = {"LedgerTx": "ledger_tx", "ApiKey": "api_key", "OutboxRow": "outbox"}
TABLES |= {"SettlementPayee": "settlement_payee", "VolumeEntry": "volume_entry"}


def names(kind: str) -> list[str]:
    return [f"{m.number:04d}_{m.name}" for m in migrate.migrations_of(kind)]


def test_both_databases_have_the_same_migrations() -> None:
    assert names("sqlite") == names("postgres")


def test_migrating_twice_does_nothing_more(database_url: str) -> None:
    db = open_database(database_url)
    try:
        assert db.migrate() == names(db.kind)
        assert db.migrate() == []
    finally:
        db.close()


def _migrate(url: str) -> list[str]:
    db = open_database(url)
    try:
        return db.migrate()
    finally:
        db.close()


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        done = pool.map(_migrate, [database_url] * 3, chunksize=1)
    assert sorted(done, key=len) == [[], [], names("sqlite")]


def test_a_migration_that_was_changed_is_refused(db: Database, database_url: str) -> None:
    with open_raw(database_url) as raw:
        raw.run([sql("UPDATE schema_migration SET checksum = 'other' WHERE number = 1")])
    with pytest.raises(MigrationRefused, match="has changed"):
        db.migrate()


def test_a_database_from_a_later_release_is_refused(db: Database, database_url: str) -> None:
    with open_raw(database_url) as raw:
        raw.run([sql("INSERT INTO schema_migration VALUES (999, 'later', '', '')")])
    with pytest.raises(MigrationRefused, match="999"):
        db.migrate()


def test_a_failing_migration_leaves_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = open_database(database_url)
    files = migrate.migrations_of(db.kind)
    broken = migrate.Migration(
        number=len(files) + 1,
        name="broken",
        text="CREATE TABLE half (a TEXT); nonsense",
        checksum="",
    )
    try:
        with monkeypatch.context() as patch:
            patch.setattr(migrate, "migrations_of", lambda _kind: (*files, broken))
            with pytest.raises(Exception, match="nonsense"):
                db.migrate()
        with open_raw(database_url) as raw:
            assert schema.columns(raw) == []
        assert db.migrate() == names(db.kind)
    finally:
        db.close()


def test_the_schema_is_the_committed_one(db: Database, database_url: str) -> None:
    """A change of the schema shows in review as what the database makes of it."""
    path = HERE / f"schema.{db.kind}.txt"
    with open_raw(database_url) as raw:
        found = schema.dump(raw)
    if os.environ.get("SETTLEMENT_WRITE_DUMPS"):
        path.write_text(found, "utf-8")
    assert found == path.read_text("utf-8")


def test_the_two_schemas_are_alike(sqlite_url: str, postgres_url: str) -> None:
    """Tables, columns and their order, kinds, nullability and unique keys."""
    _migrate(sqlite_url)
    _migrate(postgres_url)
    with open_raw(sqlite_url) as one, open_raw(postgres_url) as other:
        assert schema.columns(one) == schema.columns(other)
        assert schema.unique_keys(one) == schema.unique_keys(other)


def test_rows_have_the_columns_of_their_tables(sqlite_url: str) -> None:
    _migrate(sqlite_url)
    with open_raw(sqlite_url) as raw:
        columns: dict[str, list[str]] = {}
        for table, column, _, _ in schema.columns(raw):
            columns.setdefault(table, []).append(column)
    for name, row in vars(rows).items():
        if isinstance(row, type) and is_dataclass(row):
            made = [field.name for field in fields(row)]
            table = TABLES.get(name, name.lower())
            found = columns[table]
            if name == "OutboxRow":  # the rest belongs to the relay
                found = [column for column in found if column in made]
            assert made == found, table


@pytest.mark.parametrize("kind", KINDS)
def test_write_statements_name_each_column_in_order(kind: str) -> None:
    """SQLite binds a row by position: the text must name its parameters in the row's order."""
    queries = load_queries(kind)
    inserts = {
        made.query: made.names for made in vars(writes).values() if isinstance(made, writes._Insert)
    }
    changes = {
        "deal_update": writes.DEAL_CHANGE,
        "payout_update": writes.PAYOUT_CHANGE,
        "effect_update": writes.EFFECT_CHANGE,
        "claim_finish": writes.FINISH,
        "claim_inherit": writes.FINISH,
        "claim_delete": ("scope", "operation", "key"),
    }
    for query, wanted in {**inserts, **changes}.items():
        assert tuple(schema.parameters(queries[query], kind)) == wanted, query
        if query in inserts:
            inside = queries[query].partition("(")[2].partition(")")[0]
            assert tuple(name.strip() for name in inside.split(",")) == wanted, query
