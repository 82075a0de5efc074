"""Workers whose clock is an hour off: nothing is taken over early, and nothing expires in masses.

On PostgreSQL lease time is the server's clock, on SQLite the time since the machine booted; either
way a process may believe what it likes. The workers are processes of their own.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from settlement.service.jobs import JobQueue, Kind
from settlement.store.database import open_database
from tests.support.clock_process import JOB_TYPE, MovedClock, Remote, worker_with_clock
from tests.support.logs import raw_sql
from tests.support.notes import opened
from tests.support.raw import open_raw

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_US = 3_600_000_000
OFF = (0, HOUR_US, -HOUR_US)
HELD = 30


@pytest.fixture
def workers(database_url: str) -> Iterator[list[Remote]]:
    """One whose clock is right, one an hour ahead, one an hour behind."""
    db = open_database(database_url)
    db.migrate()
    db.close()
    with ExitStack() as stack:
        yield [stack.enter_context(worker_with_clock(database_url, by_us)) for by_us in OFF]


def column(url: str, query: str) -> list[object]:
    with open_raw(url) as raw:
        return [row[0] for row in raw.rows(query)]


@pytest.mark.parametrize("first", range(3))
def test_a_moved_clock_takes_no_job_over_and_lets_none_expire(
    workers: list[Remote], database_url: str, first: int
) -> None:
    """Broken build: lease time is the worker's own clock. One an hour ahead takes everything over
    at once, one an hour behind hands out leases that have run out."""
    workers[first].do(f"due {3 * HELD}")
    assert [worker.do(f"claim {HELD}") for worker in workers] == [HELD] * 3
    assert [worker.do("claim 99") for worker in workers] == [0, 0, 0]
    assert [worker.do("renew") for worker in workers] == [HELD] * 3
    assert [worker.do("claim 99") for worker in workers] == [0, 0, 0]
    assert [worker.do("finish") for worker in workers] == [HELD] * 3
    assert set(column(database_url, "SELECT lost_leases FROM job")) == {0}
    assert set(column(database_url, "SELECT status FROM job")) == {"done"}


def test_jobs_queued_by_a_moved_clock_are_due_at_once_for_all(workers: list[Remote]) -> None:
    """Broken build: what a clock an hour ahead queued waits for an hour."""
    assert [worker.do("due 4") for worker in workers] == [4, 4, 4]
    assert workers[0].do("claim 99") == 12


@pytest.mark.parametrize("first", range(3))
def test_a_moved_clock_neither_takes_a_lease_nor_loses_its_own(
    workers: list[Remote], first: int
) -> None:
    """Broken build: lease time is the worker's own clock."""
    holder = workers[first]
    assert holder.do("lease nightly 60") == 1
    for worker in workers:
        assert worker.do("lease nightly 60") == 0
        assert holder.do("keep 60") == 1


def test_a_lease_that_has_run_out_is_taken_over_whatever_the_clock_says(
    workers: list[Remote], database_url: str
) -> None:
    """Broken build: a clock an hour behind never sees an end, and its queue stands still."""
    workers[1].do(f"due {HELD}")
    assert workers[1].do(f"claim {HELD}") == HELD
    raw_sql(database_url, "UPDATE job SET lease_expires_us = 1")
    assert workers[2].do("claim 99") == HELD
    assert workers[1].do("finish") == 0
    assert workers[2].do("finish") == HELD


@pytest.mark.parametrize("by_us", OFF[1:])
def test_a_moved_clock_ends_no_time_limit(database_url: str, by_us: int) -> None:
    """Broken build: how long an attempt has taken is reckoned from two clocks."""
    limits = {JOB_TYPE: Kind(timeout_seconds=60)}
    with opened(database_url) as db, opened(database_url, MovedClock(by_us)) as moved:
        right, wrong = JobQueue(db, kinds=limits), JobQueue(moved, kinds=limits)
        db.transaction(lambda tx: [right.enqueue(tx, JOB_TYPE, f"deal_{n}") for n in range(4)])
        held = right.claim([JOB_TYPE], 2, "right") + wrong.claim([JOB_TYPE], 2, "wrong")
        assert len(held) == 4
        assert wrong.time_out([JOB_TYPE]) == 0
        assert right.time_out([JOB_TYPE]) == 0
        assert right.renew(held) == 4


@pytest.mark.parametrize("by_us", OFF[1:])
def test_a_failed_attempt_is_tried_again_after_its_pause(database_url: str, by_us: int) -> None:
    """Broken build: a retry is planned by one clock and found by another, an hour later or at
    once."""
    with opened(database_url) as db, opened(database_url, MovedClock(by_us)) as moved:
        right = JobQueue(db, randbelow=lambda limit: limit - 1)
        wrong = JobQueue(moved, randbelow=lambda limit: limit - 1)
        db.transaction(lambda tx: right.enqueue(tx, JOB_TYPE, "deal_a"))
        (job,) = wrong.claim([JOB_TYPE], 1, "wrong")
        wrong.fail(job, "no")
        assert right.claim([JOB_TYPE], 1, "right") == []
        raw_sql(database_url, "UPDATE job SET run_at_us = run_at_us - 2000000")
        assert len(right.claim([JOB_TYPE], 1, "right")) == 1
