"""History is added to, never changed: UPDATE, DELETE and TRUNCATE are refused on its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from settlement.core.rows import VolumeEntry
from settlement.store.database import ConstraintViolated
from tests.store import make
from tests.store.make import HEX, NOW, Story
from tests.support.raw import contents, insert, sql

if TYPE_CHECKING:
    from tests.store.conftest import Books

#: Table and a column that an UPDATE would set.
APPEND_ONLY = {
    "transfer": "amount_minor",
    "event": "version",
    "ledger_tx": "tx_hash",
    "log_entry": "version",
    "log_node": "idx",
    "tree_head": "tree_size",
    "receipt": "verified",
    "settlement": "gross_minor",
    "settlement_payee": "position",
    "volume_entry": "total_minor",
    "movement_rule": "kind",
    "feed_release": "epoch",
    "statement": "tree_size",
    "balance_checkpoint": "tree_size",
    "rail_statement": "ends_at",
    "rail_line": "amount_minor",
}


@pytest.fixture(scope="module", autouse=True)
def history(books: Books) -> None:
    """At least one row in every table of history."""
    story = Story()
    for writes in (story.funded("deal_h", "agent_seller"), story.settled("deal_h")):
        books.db.transaction(lambda tx, writes=writes: tx.write(writes))  # type: ignore[misc]  # bound now
    entry = "INSERT INTO log_entry VALUES (0, 'evt_h', 'deal_h', 0, :hash)"
    head = "INSERT INTO tree_head VALUES (1, :hash, 'log', :now, 'key', 'Ed25519', '')"
    node = "INSERT INTO log_node VALUES (8, 0, :hash)"
    books.raw.run([sql(entry, hash=HEX), sql(head, hash=HEX, now=NOW), sql(node, hash=HEX)])
    statement = (
        "INSERT INTO statement VALUES"
        " ('stm_h', 'agent_seller', 'USD/2', '2026', '2027', 1, :hash, :now)"
    )
    books.raw.run([sql(statement, hash=HEX, now=NOW)])
    point = "INSERT INTO balance_checkpoint SELECT 1, ref, asset, 0, 0 FROM account LIMIT 1"
    books.raw.run([sql(point)])
    said = (
        "INSERT INTO rail_statement VALUES ('rst_h', 'x', 'file', '2026', '2027', 1, :hash, :now)"
    )
    line = (
        "INSERT INTO rail_line VALUES"
        " ('x', 'l1', 'rst_h', 'charge', 'USD/2', 1, 'ch_1', NULL, NULL)"
    )
    books.raw.run([sql(said, hash=HEX, now=NOW), sql(line)])
    books.raw.run([sql("INSERT INTO feed_release VALUES ('e', :now, '{}', '{}')", now=NOW)])
    books.raw.run([insert("receipt", make.receipt("rcpt_h", "deal_h"))])


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"])
def test_history_refuses_change(books: Books, table: str, change: str) -> None:
    if change.startswith("TRUNCATE") and books.raw.kind == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    before = contents(books.raw)
    assert before[table]
    suffix = " CASCADE" if change.startswith("TRUNCATE") else ""
    with pytest.raises(ConstraintViolated) as refusal:
        books.shell.run([sql(change.format(table, APPEND_ONLY[table]) + suffix)])
    assert refusal.value.name.endswith("_append_only")
    assert contents(books.raw) == before


def test_other_tables_do_change(books: Books) -> None:
    """The control: the same statements where they are meant to work."""
    books.shell.run([sql("INSERT INTO setting VALUES ('x', '1')")])
    books.shell.run([sql("UPDATE setting SET value = '2' WHERE name = 'x'")])
    books.shell.run([sql("DELETE FROM setting WHERE name = 'x'")])
    assert books.raw.rows("SELECT name FROM setting") == [("recovery_epoch",)]


def test_our_own_connections_cannot_replace_a_row(books: Books) -> None:
    """INSERT OR REPLACE deletes first; on our connections that DELETE meets the trigger too."""
    if books.raw.kind == "postgres":
        pytest.skip("PostgreSQL has no REPLACE")
    entry = VolumeEntry(
        agent_id="agent_seller",
        asset="USD/2",
        n=1,
        at=NOW,
        delta_minor=1,
        total_minor=1,
        deal_id="deal_h",
    )
    text = insert("volume_entry", entry).text.replace("INSERT", "INSERT OR REPLACE")
    before = contents(books.raw)
    with pytest.raises(ConstraintViolated, match="volume_entry_append_only"):
        books.raw.run(
            [sql("PRAGMA recursive_triggers = ON"), sql(text, **insert("x", entry).params)]
        )
    assert contents(books.raw) == before
