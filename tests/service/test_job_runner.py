"""The runner of jobs: results, failures, handlers that hang, types it does not know."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from settlement.service.job_runner import JobRunner, Run
from settlement.service.jobs import JobQueue, Kind
from tests.support.logs import raw_sql
from tests.support.notes import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.core.rows import Job
    from settlement.service.job_runner import Handler
    from settlement.store.database import Database


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def put(db: Database, job_type: str = "make", **payload: Any) -> Job:
    return db.transaction(lambda tx: JobQueue(db).enqueue(tx, job_type, "deal_a", payload))


def stored(db: Database, job: Job) -> Job:
    found = JobQueue(db).get(job.job_id)
    assert found is not None
    return found


def runner(db: Database, handler: Handler, **limits: int) -> JobRunner:
    queue = JobQueue(db, lease_seconds=1, kinds={"make": Kind(**limits)})
    return JobRunner(queue, {"make": handler}, owner="w1")


def test_a_result_is_kept_and_a_failure_is_tried_again(db: Database) -> None:
    job = put(db, n=1)
    assert runner(db, lambda run: {"n": run.payload["n"] + 1}).step() == 1
    assert (stored(db, job).status, stored(db, job).result) == ("done", '{"n": 2}')
    assert runner(db, lambda run: None).step() == 0

    def fail(run: Run) -> None:
        raise ValueError(run.job.job_id)

    other = db.transaction(lambda tx: JobQueue(db).enqueue(tx, "make", "deal_b"))
    assert runner(db, fail).step() == 1
    assert stored(db, other).status == "retry"
    assert stored(db, other).last_error == f"ValueError: {other.job_id}"


def test_a_handler_that_works_longer_than_a_lease_keeps_it(db: Database) -> None:
    """Broken build: nothing renews, and a second worker does the same work beside the first."""
    job = put(db)
    rest = threading.Event()

    def slow(run: Run) -> None:
        rest.wait(1.5)

    assert runner(db, slow).step() == 1
    assert (stored(db, job).status, stored(db, job).lost_leases) == ("done", 0)


def test_a_handler_that_hangs_is_left_behind_and_what_it_does_later_is_dropped(
    db: Database,
) -> None:
    """Broken build: the worker waits with it; or its late result counts."""
    job = put(db)
    go_on, ended = threading.Event(), threading.Event()

    def hang(run: Run) -> dict[str, Any]:
        go_on.wait(30)
        try:
            db.transaction(lambda tx: run.progress_in(tx, {"late": True}))
        finally:
            ended.set()
        return {"late": True}

    assert runner(db, hang, timeout_seconds=1).step() == 1
    failed = stored(db, job)
    assert (failed.status, failed.last_error) == ("retry", "timeout")
    go_on.set()
    assert ended.wait(20)
    assert stored(db, job) == failed


def test_a_type_without_a_handler_is_left_to_others(db: Database, database_url: str) -> None:
    """Broken build: a worker of an older release uses up the attempts of newer jobs."""
    job = put(db, "newer")
    raw_sql(database_url, "UPDATE job SET run_at_us = 0")
    before = stored(db, job)
    assert runner(db, lambda run: None).step() == 0
    assert JobRunner(JobQueue(db), {}, owner="w2").step() == 0
    assert stored(db, job) == before
