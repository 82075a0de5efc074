"""The outbox: told in order per deal, once, and only what is in the chain. On both databases."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from settlement.service.outbox import Drained, Outbox
from tests.support.logs import raw_sql
from tests.support.notes import Note, new_engine, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.store.database import Database


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def write(db: Database, *deal_ids: str) -> None:
    """An event and its message on each deal."""
    answers = new_engine(db).run_batch([Note(deal_id=deal_id) for deal_id in deal_ids])
    assert all(answer.error is None for answer in answers)


def orphan(url: str, deal_id: str) -> None:
    """A message whose event is in no chain, as a bug or a bad restore may leave it."""
    raw_sql(
        url,
        "INSERT INTO outbox (outbox_id, deal_id, event_id, event_type, actor_id, source, timestamp)"
        f" VALUES ('obx_{deal_id}', '{deal_id}', 'evt_lost_{deal_id}', 'NOTE', 'a', 'test', 'now')",
    )


def due(url: str) -> None:
    raw_sql(url, "UPDATE outbox SET next_attempt_us = 0")


def test_what_is_in_its_chain_is_emitted_once(db: Database) -> None:
    write(db, "deal_a", "deal_a", "deal_b")
    assert Outbox(db).drain() == Drained(emitted=3)
    assert Outbox(db).drain() == Drained()


def test_a_drain_takes_no_more_than_its_limit_and_the_rest_next_time(db: Database) -> None:
    write(db, *(f"deal_{n}" for n in range(5)))
    outbox = Outbox(db)
    assert [outbox.drain(2).emitted for _ in range(4)] == [2, 2, 1, 0]


def test_a_failing_head_holds_up_its_own_deal_only(db: Database, database_url: str) -> None:
    """Broken build: one poisoned message stops every deal, or is overtaken within its own."""
    write(db, "deal_a")
    orphan(database_url, "deal_a")
    write(db, "deal_a", "deal_b")
    outbox = Outbox(db)
    assert outbox.drain() == Drained(emitted=2, failed=1)
    assert outbox.drain() == Drained()  # the head waits for its time, and those behind it too
    write(db, "deal_b")
    assert outbox.drain() == Drained(emitted=1)


def test_a_head_is_parked_after_eight_attempts_and_still_not_overtaken(
    db: Database, database_url: str
) -> None:
    """Broken build: a parked head is skipped, and its deal's listeners miss a step unawares."""
    orphan(database_url, "deal_a")
    write(db, "deal_a")
    outbox = Outbox(db)
    drained = []
    for _ in range(9):
        drained.append(outbox.drain())
        due(database_url)
    assert drained[6:] == [Drained(failed=1), Drained(failed=1, parked=1), Drained()]


def test_drains_at_once_emit_each_message_once(db: Database, database_url: str) -> None:
    """Broken build: the update does not look at the status, and two drains count one message."""
    write(db, *(f"deal_{n}" for n in range(40)))
    start = threading.Barrier(3)
    emitted: list[int] = []

    def drain() -> None:
        with opened(database_url) as mine:
            start.wait(20)
            while found := Outbox(mine).drain(5).emitted:
                emitted.append(found)

    threads = [threading.Thread(target=drain) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(emitted) == 40
    assert Outbox(db).drain() == Drained()
