"""Several processes and several writers: nothing is lost, deadlocks are retried, forks are safe."""

from __future__ import annotations

import multiprocessing
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.core.state import Footprint, State
from settlement.core.writeset import WriteSet
from settlement.store.database import Database, Tx, open_database
from settlement.store.loading import load_footprint
from tests.store import make
from tests.store.make import Story

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

PROCESSES, ROUNDS = 4, 25


def load(tx: Tx, *deals: str) -> State:
    state = State()
    load_footprint(tx, Footprint(deals=deals), state)
    return state


def count_up(tx: Tx, deal_id: str) -> None:
    """Read under lock, then write what was read plus one: a lost update would show."""
    deal = load(tx, deal_id).deals[deal_id]
    assert deal is not None
    changed = replace(deal, charge_refusals=deal.charge_refusals + 1)
    tx.write(WriteSet(deals_changed=[changed]))


def count_of(db: Database, deal_id: str) -> int:
    deal = db.transaction(lambda tx: load(tx, deal_id)).deals[deal_id]
    assert deal is not None
    return deal.charge_refusals


def _count_up_often(url: str) -> None:
    db = open_database(url)
    try:
        for _ in range(ROUNDS):
            db.transaction(lambda tx: count_up(tx, "deal_a"))
    finally:
        db.close()


@pytest.fixture
def deals(db: Database) -> Database:
    made = WriteSet(deals_new=[make.deal("deal_a"), make.deal("deal_b")])
    db.transaction(lambda tx: tx.write(made))
    return db


def test_processes_that_count_together_lose_nothing(deals: Database, database_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(_count_up_often, [database_url] * PROCESSES, chunksize=1)
    assert count_of(deals, "deal_a") == PROCESSES * ROUNDS


def test_threads_that_count_together_lose_nothing(deals: Database) -> None:
    def work() -> None:
        for _ in range(ROUNDS):
            deals.transaction(lambda tx: count_up(tx, "deal_a"))

    threads = [threading.Thread(target=work) for _ in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count_of(deals, "deal_a") == PROCESSES * ROUNDS


def test_a_deadlock_runs_the_loser_again(postgres_url: str) -> None:
    """Locks taken in opposite order on purpose; our own statements take them in one order."""
    db = open_database(postgres_url)
    db.migrate()
    made = WriteSet(deals_new=[make.deal("deal_a"), make.deal("deal_b")])
    db.transaction(lambda tx: tx.write(made))
    both_hold_one = threading.Barrier(2)
    runs: list[str] = []

    def cross(first: str, second: str) -> None:
        def once(tx: Tx) -> None:
            runs.append(first)
            count_up(tx, first)
            if runs.count(first) == 1:
                both_hold_one.wait()
            count_up(tx, second)

        db.transaction(once)

    threads = [
        threading.Thread(target=cross, args=order)
        for order in (("deal_a", "deal_b"), ("deal_b", "deal_a"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(runs) > 2
        assert count_of(db, "deal_a") == count_of(db, "deal_b") == 2
    finally:
        db.close()


def _use_inherited(db: Database, counted: Synchronized[int]) -> None:
    db.transaction(lambda tx: count_up(tx, "deal_a"))
    counted.value = count_of(db, "deal_a")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_uses_connections_of_its_own(deals: Database) -> None:
    deals.transaction(lambda tx: count_up(tx, "deal_a"))
    context = multiprocessing.get_context("fork")
    counted = context.Value("i", 0)
    child = context.Process(target=_use_inherited, args=(deals, counted))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert counted.value == 2
    deals.transaction(lambda tx: count_up(tx, "deal_a"))
    assert count_of(deals, "deal_a") == 3


def test_a_transaction_that_fails_lets_the_next_one_in(deals: Database) -> None:
    def fail(tx: Tx) -> None:
        count_up(tx, "deal_a")
        raise LookupError("changed my mind")

    for _ in range(20):
        with pytest.raises(LookupError):
            deals.transaction(fail)
    assert count_of(deals, "deal_a") == 0


def test_a_server_that_dropped_our_connections_is_used_again(postgres_url: str) -> None:
    """Idle connections die with a restart; the next transaction must not pay for it."""
    db = open_database(postgres_url)
    other = open_database(postgres_url)
    try:
        db.migrate()
        story = Story()
        db.transaction(lambda tx: tx.write(story.world("agent_a")))
        with other._pool.connection() as connection:  # type: ignore[attr-defined]  # an operator
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert len(db.read(lambda tx: tx.all("agent_by_ids", ids=["agent_a"]))) == 1
    finally:
        db.close()
        other.close()
