"""Which accounts a batch locks: the guarded ones, in order; never the ones everybody shares."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from settlement.core.state import Needs, State
from settlement.core.writeset import WriteSet
from settlement.store.database import Database, open_database
from settlement.store.loading import load_needs
from tests.store.make import account, agent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Tx

SECONDS_MAX = 20
FEES = ("fee_protocol:platform", "USD/2")
SELLERS = ("agent_a", "agent_b")


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    db = open_database(postgres_url)
    db.migrate()
    writes = WriteSet(
        agents=[agent(seller) for seller in SELLERS],
        accounts_new=[
            account("fee_protocol", "platform"),
            *(account("agent", seller) for seller in SELLERS),
        ],
    )
    db.transaction(lambda tx: tx.write(writes))
    yield db
    db.close()


class Holder:
    """A transaction that has loaded its accounts and keeps them until it is let go."""

    def __init__(self, db: Database, *accounts: tuple[str, str]) -> None:
        self._accounts = tuple(sorted(accounts))
        self.loaded = threading.Event()
        self._go = threading.Event()
        self.seen = State()
        self._thread = threading.Thread(target=db.transaction, args=(self._run,))
        self._thread.start()

    def _run(self, tx: Tx) -> None:
        load_needs(tx, Needs(accounts=self._accounts), self.seen)
        self.loaded.set()
        self._go.wait(SECONDS_MAX)

    def let_go(self) -> None:
        self._go.set()
        self._thread.join()


def test_two_batches_that_share_only_the_fee_account_do_not_wait(database: Database) -> None:
    """Breaks with a lock on every account loaded: all processes would take turns."""
    first = Holder(database, FEES, ("entity:agent_a", "USD/2"))
    second = Holder(database, FEES, ("entity:agent_b", "USD/2"))
    try:
        assert first.loaded.wait(SECONDS_MAX)
        assert second.loaded.wait(SECONDS_MAX), "it waits for the fee account"
        assert first.seen.accounts[FEES] is not None, "loaded all the same"
    finally:
        first.let_go()
        second.let_go()


def test_two_batches_that_share_a_seller_take_turns(database: Database) -> None:
    """Breaks without the lock: both would decide on the same balance."""
    first = Holder(database, ("entity:agent_a", "USD/2"))
    assert first.loaded.wait(SECONDS_MAX)
    second = Holder(database, ("entity:agent_a", "USD/2"))
    assert not second.loaded.wait(1), "the seller's account is not locked"
    first.let_go()
    assert second.loaded.wait(SECONDS_MAX)
    second.let_go()
