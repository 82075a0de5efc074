"""An audit of twice the books reads twice the rows, also where nobody has gathered statistics."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from bench import deals
from settlement.core.operation import Rules
from settlement.core.rail_lines import FROM_FILE, RailLine
from settlement.service.audit import run_audit
from settlement.service.engine import Engine
from settlement.service.log import LogSettings, Sequencer
from settlement.service.rail_statements import Imported, Spool, keep
from settlement.store import audit
from settlement.store.database import Database, open_database
from settlement.store.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from settlement.store.database import Tx

DEALS = 1_000
ALWAYS = ("2020-01-01T00:00:00.000000Z", "2100-01-01T00:00:00.000000Z")
READ = "SELECT sum(seq_tup_read) + sum(idx_tup_fetch) FROM pg_stat_xact_user_tables"


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    db = open_database(postgres_url)
    db.migrate()
    yield db
    db.close()


class _Counted:
    """A database that remembers how many rows its tables gave up to the last read."""

    def __init__(self, db: Database) -> None:
        self.kind = db.kind
        self.rows = 0
        self._db = db

    def read(self, do: Callable[[Tx], Any]) -> Any:
        """Read, and count in the same transaction."""

        def both(tx: Tx) -> Any:
            found = do(tx)
            row = tx._connection.execute(READ).fetchone()  # type: ignore[attr-defined]  # an operator's view
            self.rows = int(row[0])
            return found

        return self._db.read(both)


def _state(db: Database) -> None:
    """Take in a line of each payment there is; those of before are known."""
    whose = Imported(rail="", source=FROM_FILE, starts_at=ALWAYS[0], ends_at=ALWAYS[1])
    with Spool() as spool:
        for row in db.read(lambda tx: tx.all("audit_cash_page", tx_id="", leg=-1, limit=10_000)):
            whose.rail = row["debit_ref"].partition(":")[2]
            ref = json.loads(row["payload"])["rail_ref"]
            spool.add(
                RailLine(
                    line_id=ref,
                    kind="charge",
                    asset=row["asset"],
                    amount_minor=row["amount_minor"],
                    rail_ref=ref,
                )
            )
        assert keep(db, whose, spool).new == DEALS


def _more(db: Database) -> int:
    """Settle a number of deals, and audit all there are; rows that were read."""
    engine = Engine(db, Rules(), entropy=lambda: secrets.token_bytes(16))
    people = deals.sellers(engine, 10)
    made = deals.approved(engine, people, DEALS, funded=True)
    for answer in engine.execute_all([deal.settle() for deal in made]):
        answer.unwrap()
    engine.close()
    sequencer = Sequencer(db, None, LogSettings())
    while sequencer.run_once():
        pass
    sequencer.close()
    _state(db)
    counted = _Counted(db)
    report = run_audit(counted)  # type: ignore[arg-type]  # all that an audit asks of a database
    assert report.clean, report.failed()
    return counted.rows


def test_twice_the_books_are_twice_the_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a page that is found by reading all pages, and a sum that reads a table per row."""
    monkeypatch.setattr(audit, "PAGE_ROWS", 50)
    once, twice = _more(database), _more(database)
    assert twice < 2.2 * once, (once, twice)


def test_the_lines_of_a_movement_are_found_by_their_reference_on_sqlite(sqlite_url: str) -> None:
    """Catches a query that asks for an order: SQLite then goes through all lines of the rail by
    their ids, once for every page of movements."""
    db = open_database(sqlite_url)
    db.migrate()
    db.close()
    text = load_queries("sqlite")["audit_lines_of"]
    connection = apsw.Connection(sqlite_url.removeprefix("sqlite:///"))
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", {"rail": "x", "refs": "[]"}).fetchall()
    connection.close()
    assert any("rail_line_by_ref (rail=? AND rail_ref=?)" in str(row[3]) for row in plan), plan
