"""The worker: loops that start again, wake for work, and stop without losing what they hold."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from settlement.core.errors import DatabaseUnavailable
from settlement.core.writeset import WriteSet
from settlement.edge.worker import Loop, Worker, has_events, has_jobs
from settlement.service.jobs import JobQueue
from tests.store import make
from tests.support.notes import opened, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

HOUR = 3600.0


class Steps:
    """A step that counts its calls, and does or raises what it is told."""

    def __init__(self, *does: int | Exception) -> None:
        self.does = list(does)
        self.count = 0
        self.called = threading.Semaphore(0)

    def __call__(self) -> int:
        self.count += 1
        self.called.release()
        done = self.does.pop(0) if self.does else 0
        if isinstance(done, Exception):
            raise done
        return done

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.called.acquire(timeout=20)


@contextmanager
def working(*loops: Loop) -> Iterator[Worker]:
    worker = Worker(loops)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def test_a_loop_goes_on_while_there_is_work_and_then_rests() -> None:
    step = Steps(3, 1)
    with working(Loop(name="a", step=step, interval_seconds=HOUR)):
        step.wait(3)
        assert not step.called.acquire(timeout=0.05)
    assert step.count == 3


def test_a_commit_wakes_the_loops_it_made_work_for() -> None:
    """Broken build: work waits for the next look, a second away; or every commit wakes all."""
    jobs, events, own = Steps(), Steps(), Steps()
    loops = (
        Loop(name="jobs", step=jobs, interval_seconds=HOUR, wakes=has_jobs),
        Loop(name="events", step=events, interval_seconds=HOUR, wakes=has_events),
        Loop(name="own", step=own, interval_seconds=HOUR, wakes=lambda _: False),
    )
    with working(*loops) as worker:
        for step in (jobs, events, own):
            step.wait()
        worker.committed(WriteSet(jobs=[make.job("job_a", "deal_a")]))
        jobs.wait()
        assert not events.called.acquire(timeout=0.05)
    assert (jobs.count, events.count, own.count) == (2, 1, 1)


def test_a_commit_during_a_step_is_not_forgotten() -> None:
    """Broken build: the wake-up is cleared after the step, and the work of that moment waits."""
    count = 0
    seen = threading.Event()

    def step() -> int:
        nonlocal count
        count += 1
        if count == 1:
            worker.committed(WriteSet())
        else:
            seen.set()
        return 0

    worker = Worker([Loop(name="a", step=step, interval_seconds=HOUR)])
    worker.start()
    assert seen.wait(20)
    worker.stop()


def test_a_database_that_is_away_is_one_line_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Broken build: an outage buries the log under a traceback per loop and try."""
    step = Steps(DatabaseUnavailable(reason="refused"))
    with working(Loop(name="a", step=step, interval_seconds=HOUR)):
        step.wait(2)
    (said,) = [one for one in caplog.records if "loop a" in one.getMessage()]
    assert said.exc_info is None
    assert "refused" in said.getMessage()


def test_a_loop_that_crashes_starts_again_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Broken build: the thread dies, and nobody asks rails any more until a restart."""
    step = Steps(KeyError("first"), 1)
    other = Steps()
    loops = (Loop(name="a", step=step, interval_seconds=HOUR), Loop(name="b", step=other))
    with working(*loops) as worker:
        step.wait(3)
        other.wait()
        beats = worker.heartbeats()
    assert beats["a"]["crashes"] == 1
    assert beats["a"]["last_error"] == "KeyError: 'first'"
    assert beats["b"]["crashes"] == 0
    assert "loop a crashed" in caplog.text


def test_heartbeats_tell_a_loop_that_hangs_from_one_that_rests() -> None:
    hold, held = threading.Event(), threading.Event()

    def hang() -> int:
        held.set()
        hold.wait(20)
        return 0

    rests = Steps()
    with working(
        Loop(name="hangs", step=hang), Loop(name="rests", step=rests, interval_seconds=HOUR)
    ) as worker:
        assert held.wait(20)
        rests.wait()
        until(lambda: worker.heartbeats()["rests"]["steps"] == 1)
        assert worker.heartbeats()["hangs"]["steps"] == 0
        assert worker.heartbeats()["hangs"]["alive"]
        hold.set()


def test_stopping_lets_steps_end_and_gives_back_leases(database_url: str) -> None:
    """Broken build: leases of a stopped worker run for a minute more and count as lost."""
    with opened(database_url) as db:
        queue = JobQueue(db)
        job = db.transaction(lambda tx: queue.enqueue(tx, "verify", "deal_a"))
        claimed, go_on, ended = threading.Event(), threading.Event(), threading.Event()

        def step() -> int:
            if not claimed.is_set():
                queue.claim(["verify"], 1, "me")
                claimed.set()
                go_on.wait(20)
                ended.set()
            return 0

        worker = Worker([Loop(name="a", step=step)], jobs=queue, owner="me")
        worker.start()
        assert claimed.wait(20)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        go_on.set()
        stopping.join(20)
        assert ended.is_set()
        stored = queue.get(job.job_id)
        assert stored is not None
        assert (stored.status, stored.attempts, stored.lost_leases) == ("retry", 0, 0)


def test_a_step_that_does_not_end_keeps_its_leases(database_url: str) -> None:
    """Broken build: its jobs go back while it still works on them, and another starts them."""
    with opened(database_url) as db:
        queue = JobQueue(db)
        job = db.transaction(lambda tx: queue.enqueue(tx, "verify", "deal_a"))
        claimed, hold = threading.Event(), threading.Event()

        def step() -> int:
            queue.claim(["verify"], 1, "me")
            claimed.set()
            hold.wait(20)
            return 0

        worker = Worker([Loop(name="a", step=step)], jobs=queue, owner="me")
        worker.start()
        assert claimed.wait(20)
        assert worker.stop(0) is False
        stored = queue.get(job.job_id)
        assert stored is not None
        assert stored.status == "leased"
        hold.set()
        assert worker.stop() is True
