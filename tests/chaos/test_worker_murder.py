"""Workers are killed at random and replaced while a queue drains: each effect happens once.

Four processes, one killed every half second. A kill falls before, inside and after the transaction
that makes the effect, and between it and the end of the job. A job whose workers were murdered
three times is dead, by rule; an operator brings it back, and its effect still happens once.
"""

from __future__ import annotations

import select
import subprocess
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from settlement.service.jobs import LOST_LEASES_MAX, JobQueue
from tests.support.logs import raw_sql
from tests.support.murder_worker import JOB_TYPE, start_worker
from tests.support.notes import opened
from tests.support.raw import open_raw

if TYPE_CHECKING:
    from settlement.store.database import Database, Tx

WORKERS = 4
KILL_SECONDS = 0.5


def fill(db: Database, count: int) -> None:
    queue = JobQueue(db)

    def put(tx: Tx) -> None:
        for n in range(count):
            queue.enqueue(tx, JOB_TYPE, f"deal_{n}")

    db.transaction(put)


def column(url: str, query: str) -> list[object]:
    with open_raw(url) as raw:
        return [row[0] for row in raw.rows(query)]


def is_at_work(worker: subprocess.Popen[bytes]) -> bool:
    """It has said so, or its output has ended."""
    assert worker.stdout is not None
    return bool(select.select([worker.stdout], [], [], 0)[0])


def end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.communicate()


def revive(url: str, queue: JobQueue) -> int:
    """Bring back, as an operator would, what was given up after three lost leases."""
    given_up = column(url, "SELECT job_id FROM job WHERE status = 'dead'")
    for job_id in given_up:
        job = queue.get(str(job_id))
        assert job is not None
        assert job.lost_leases >= LOST_LEASES_MAX, "dead for another reason"
        queue.requeue(str(job_id), "its workers were murdered", "test")
    return len(given_up)


def murder(url: str, queue: JobQueue, seconds: float) -> tuple[int, int]:
    """Kill a worker every half second until all is done; how many were killed, and jobs revived."""
    workers = [start_worker(url) for _ in range(WORKERS)]
    killed, revived, deadline = 0, 0, time.monotonic() + seconds
    try:
        while column(url, "SELECT 1 FROM job WHERE status <> 'done' LIMIT 1"):
            revived += revive(url, queue)
            assert time.monotonic() < deadline, "the queue does not drain"
            with suppress(subprocess.TimeoutExpired):
                workers[0].wait(KILL_SECONDS)
            at_work = [worker for worker in workers if is_at_work(worker)]
            if not at_work:  # a busy machine: those who never began would only be replaced
                continue
            victim = at_work[0]
            assert victim.poll() is None, "a worker ended by itself"
            workers.remove(victim)
            end(victim)
            killed += 1
            workers.append(start_worker(url))
    finally:
        for worker in workers:
            end(worker)
    return killed, revived


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("jobs", "seconds"),
    [
        pytest.param(300, 120),
        pytest.param(10_000, 1500, marks=[pytest.mark.long, pytest.mark.timeout(1600)]),
    ],
)
def test_each_effect_happens_once_while_workers_are_murdered(
    database_url: str, jobs: int, seconds: int
) -> None:
    """Broken build: the effect commits apart from the fence, so the next attempt repeats it; a
    killed worker's lease is never taken over, so its job is stuck; or the job is finished before
    its effect, so a kill loses it."""
    with opened(database_url) as db:
        fill(db, jobs)
        raw_sql(database_url, "CREATE TABLE made (job_id TEXT NOT NULL)")
        killed, revived = murder(database_url, JobQueue(db), seconds)
        made = Counter(column(database_url, "SELECT job_id FROM made"))
        states = Counter(column(database_url, "SELECT status FROM job"))
        lost = sum(int(str(n)) for n in column(database_url, "SELECT lost_leases FROM job"))
    assert states == {"done": jobs}
    assert len(made) == jobs
    assert set(made.values()) == {1}
    assert killed >= 3
    assert lost + revived >= 1, "no kill fell on a job at work, so nothing was tried"
