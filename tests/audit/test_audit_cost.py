"""An audit of twice the books reads twice the rows, also where nobody has gathered statistics."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from bench import deals
from settlement.core.operation import Rules
from settlement.service.audit import run_audit
from settlement.service.engine import Engine
from settlement.service.log import LogSettings, Sequencer
from settlement.store import audit
from settlement.store.database import Database, open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from settlement.store.database import Tx

DEALS = 1_000
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
