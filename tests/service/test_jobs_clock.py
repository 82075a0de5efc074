"""Workers whose clock is an hour off. On PostgreSQL lease time is the server's, so nothing happens.

On SQLite it is the process's: an hour ahead takes leases over early, an hour behind gives leases
that have run out. There the fence alone holds, and it is tried here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import LeaseLost
from settlement.service.jobs import JobQueue
from settlement.store.database import SystemClock
from tests.support.notes import opened

if TYPE_CHECKING:
    from settlement.core.rows import Job
    from settlement.store.database import Database

HOUR_US = 3_600_000_000


class MovedClock:
    """The machine's clock, moved."""

    def __init__(self, by_us: int) -> None:
        self._by_us = by_us

    def now_us(self) -> int:
        """The time there."""
        return SystemClock().now_us() + self._by_us


def fill(db: Database, count: int) -> list[Job]:
    queue = JobQueue(db)
    return db.transaction(
        lambda tx: [queue.enqueue(tx, "verify", f"deal_{n}") for n in range(count)]
    )


@pytest.mark.parametrize("by_us", [HOUR_US, -HOUR_US])
def test_on_postgres_a_moved_clock_takes_nothing_over(postgres_url: str, by_us: int) -> None:
    """Broken build: lease time comes from the worker, so a wrong clock ends all leases."""
    with opened(postgres_url) as db, opened(postgres_url, MovedClock(by_us)) as moved:
        fill(db, 20)
        right, wrong = JobQueue(db), JobQueue(moved)
        held = right.claim(["verify"], 10, "right")
        assert len(wrong.claim(["verify"], 20, "wrong")) == 10
        assert right.claim(["verify"], 20, "right") == []
        assert wrong.claim(["verify"], 20, "wrong") == []
        assert right.renew(held) == 10


@pytest.mark.parametrize("by_us", [HOUR_US, -HOUR_US])
def test_on_either_database_whoever_was_taken_over_changes_nothing(
    database_url: str, by_us: int
) -> None:
    """Broken build: the time limit is trusted where the fence should be."""
    with opened(database_url) as db, opened(database_url, MovedClock(by_us)) as moved:
        (job,) = fill(db, 1)
        queues = [JobQueue(db), JobQueue(moved)]
        holders = [(q, j) for q in queues for j in q.claim(["verify"], 1, "w")]
        holders += [(q, j) for q in queues for j in q.claim(["verify"], 1, "w")]
        finished = 0
        for queue, held in holders:
            try:
                queue.finish(held)
                finished += 1
            except LeaseLost:
                continue
        assert finished == 1
        stored = queues[0].get(job.job_id)
        assert stored is not None
        assert stored.status == "done"
