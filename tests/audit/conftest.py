"""A history with a bit of everything, and copies of it with all guards taken off.

The history is played once per database and session. To plant a violation a test needs a database
that refuses nothing: every table is made anew from its rows, without keys, checks and triggers.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw
import psycopg
import pytest

from settlement.core.principal import ANONYMOUS
from settlement.service.audit import AuditReport, run_audit
from settlement.service.audit_base import AuditContext
from settlement.service.audit_runs import record_run
from settlement.service.balances import Balances
from settlement.service.checkpoint_file import CheckpointFile
from settlement.service.rail_statements import import_lists
from settlement.signing import verify_ed25519
from settlement.store.database import open_database
from tests.support.house import Play, SteppingClock, house
from tests.support.postgres import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from settlement.core.clock import Clock
    from settlement.wiring import Services
    from tests.support.postgres import PostgresServer


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A played database, what is known of it outside, and the deals by what became of them."""

    url: str
    context: AuditContext
    clock: Clock | None
    deals: dict[str, str]

    def audit(self, url: str | None = None) -> AuditReport:
        """Audit it, or a copy of it."""
        db = open_database(url or self.url, self.clock)
        try:
            return run_audit(db, self.context)
        finally:
            db.close()


class _Players:
    """The agents of the history."""

    def __init__(self, play: Play) -> None:
        self.buyer, self.seller, self.helper, self.third = (
            play.agent(name) for name in ("buyer", "seller", "helper", "third")
        )


def _play_paid(play: Play, by: _Players) -> dict[str, Any]:
    """Everything asked for twice, settled and paid out."""
    deal = play.proof(by.seller)
    play.receipt(deal)
    play.receipt(deal, by=by.buyer)
    for _ in range(2):
        play.go(deal, by.buyer)
    for _ in range(2):
        play.settle(deal, by.seller)
    play.settle(deal, by.seller, sent_key="a-key-of-my-own")
    play.work()
    for _ in range(2):
        play.payout(deal, by.seller)
    play.work()
    return deal


def _play_split(play: Play, by: _Players) -> dict[str, Any]:
    """Three payees: one not paid yet, one refused and then paid, one whose outcome is unknown."""
    deal = play.proof(by.seller, 33_333)
    play.go(deal, by.buyer)
    play.settle(deal, by.seller, ((by.seller, "0.5"), (by.helper, "0.3"), (by.third, "0.2")))
    play.work()
    play.misbehave("decline", f"payout:{deal['deal_id']}:{by.helper.agent_id}")
    play.payout(deal, by.helper)
    play.work()
    play.behave()
    play.payout(deal, by.helper)
    play.work()
    play.misbehave("charge_then_silence", f"payout:{deal['deal_id']}:{by.third.agent_id}")
    play.payout(deal, by.third)
    play.work()
    return deal


def _play_refused(play: Play, by: _Players) -> dict[str, Any]:
    """Approved, and its charge refused."""
    deal = play.proof(by.seller, 5_000)
    play.go(deal, by.buyer)
    play.misbehave("decline", f"charge:{deal['deal_id']}")
    play.settle(deal, by.seller)
    play.work()
    return deal


def _play_back(play: Play, by: _Players) -> dict[str, dict[str, Any]]:
    """Money that went back: in part and by a refund under way, and by rulings early and late."""
    names = ("refunded", "disputed", "ruled")
    made = {name: play.proof(by.seller, 8_000) for name in names}
    for name, deal in made.items():
        play.go(deal, by.buyer)
        play.settle(deal, by.seller)
        play.work()
        if name != "refunded":
            play.dispute(deal, by.buyer)
    play.refund(made["refunded"], by.seller, 3_000)
    play.rule(made["ruled"], 250_000)
    play.work()
    return made


def _play_mandates(play: Play, by: _Players) -> dict[str, Any]:
    """The seller buys with what it earned: one deal by a reserve, one too dear, and the end."""
    mandate = play.mandate(by.seller, reserve_minor=9_000)
    bought, dear = play.proof(by.helper, 6_000), play.proof(by.helper, 5_000)
    for deal in (bought, dear):
        play.receipt(deal)
        play.auto_go(deal, by.helper, mandate)
    play.settle(bought, by.helper)
    play.mandate(by.buyer)
    play.revoke(mandate, by.seller)
    return bought


def _play_exchange(play: Play, by: _Players) -> dict[str, dict[str, Any]]:
    """One intent awarded, proven and settled; one without an eligible bid; one still open."""
    awarded = play.intent(by.buyer)
    play.bid(awarded, by.seller, 9_000)
    play.bid(awarded, by.helper, 8_500, sent_key="my-bid")
    play.bid(awarded, by.helper, 8_500, sent_key="my-bid")
    play.bid(awarded, by.seller, 8_000)
    for _ in range(2):
        play.close(awarded, by.buyer)
    dear = play.intent(by.buyer)
    play.bid(dear, by.seller, 10_001)
    play.close(dear, by.buyer)
    wanted = play.intent(by.buyer)
    play.bid(wanted, by.seller, 7_000)
    play.intent(by.buyer)
    return {"awarded": awarded, "dear": dear, "wanted": wanted}


def play_history(directory: Path, url: str, clock: SteppingClock | None) -> History:
    """Deals at every stage, and two tree heads where the clock can be moved."""
    with house(directory, url, clock) as services:
        services.sequencer.check_checkpoint()
        play = Play(services)
        play.sign()  # a head over nothing, as a server signs at its first start
        if clock is not None:
            clock.advance(2)
        by = _Players(play)
        deals = {"paid": _play_paid(play, by)}
        play.sign()
        if clock is not None:
            clock.advance(2)
        deals |= _play_back(play, by)
        deals["split"] = _play_split(play, by)
        deals["mandated"] = _play_mandates(play, by)
        deals |= _play_exchange(play, by)
        deals["refused"] = _play_refused(play, by)
        deals["approved"] = play.proof(by.helper, 7_000)
        play.go(deals["approved"], by.buyer)
        deals["quoted"] = play.proof(by.helper, 8_000)
        play.go(deals["quoted"], ANONYMOUS)
        deals["new"] = play.proof(by.helper)
        play.work()
        Balances(services.db, 9).step()
        assert all(one.clean for one in import_lists(services.db, services.rails))
        record_run(services.db, run_audit(services.db), "auditor")
        services.sequencer.ensure_covered(deals["new"]["deal_id"])
        context = known_outside(services)
    return History(
        url=url,
        context=context,
        clock=clock,
        deals={name: deal["deal_id"] for name, deal in deals.items()},
    )


def known_outside(services: Services) -> AuditContext:
    """Keys and the checkpoint, which are kept outside the database."""
    signer = services.signer
    assert signer is not None
    return AuditContext(
        public_keys={signer.key_id: signer.public_key},
        verify=verify_ed25519,
        checkpoint=CheckpointFile(services.settings.checkpoint_file).read(),
    )


@pytest.fixture(scope="session")
def sqlite_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """The history on SQLite, with its guards."""
    directory = tmp_path_factory.mktemp("history")
    return play_history(directory, f"sqlite:///{directory / 'house.db'}", SteppingClock())


@pytest.fixture(scope="session")
def unguarded(sqlite_history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The history's file without a single constraint, to be copied."""
    path = tmp_path_factory.mktemp("unguarded") / "house.db"
    shutil.copyfile(sqlite_history.url.removeprefix("sqlite:///"), path)
    strip_sqlite(path)
    return path


def strip_sqlite(path: Path) -> None:
    """Make every table of a file anew without keys, checks and triggers."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA foreign_keys = OFF")
    kinds = "SELECT name FROM sqlite_schema WHERE type = ? AND name NOT LIKE 'sqlite_%'"
    for (name,) in connection.execute(kinds, ("trigger",)).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for (name,) in connection.execute(kinds, ("table",)).fetchall():
        connection.execute(f"CREATE TABLE new_table AS SELECT * FROM {name}")
        connection.execute(f"DROP TABLE {name}")
        connection.execute(f"ALTER TABLE new_table RENAME TO {name}")
    connection.close()


def strip_postgres(url: str) -> None:
    """The same for a PostgreSQL database."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        ).fetchall()
        for (name,) in names:
            connection.execute(f"CREATE TABLE new_table AS SELECT * FROM {name}".encode())
            connection.execute(f"DROP TABLE {name} CASCADE".encode())
            connection.execute(f"ALTER TABLE new_table RENAME TO {name}".encode())


def plant_sqlite(unguarded: Path, directory: Path, statements: Sequence[str]) -> str:
    """The URL of a copy in which the statements have been run."""
    path = directory / "planted.db"
    shutil.copyfile(unguarded, path)
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
        assert connection.changes(), f"it planted nothing: {statement}"
    connection.close()
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def postgres_history(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[History]:
    """The history on PostgreSQL, with its guards."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with fresh_database(postgres_server, label=f"{worker}_audit") as url:
        yield play_history(tmp_path_factory.mktemp("history"), url, None)


@pytest.fixture(scope="module")
def postgres_unguarded(postgres_history: History) -> str:
    """The same database, then without a single constraint. The clean audit comes first."""
    strip_postgres(postgres_history.url)
    return postgres_history.url
