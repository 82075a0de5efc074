"""Limits of kinds of jobs: time, slots, periods. On both databases, by their own clocks."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import LeaseLost
from settlement.service.jobs import JobQueue, Kind
from settlement.service.schedule import Every, Scheduler
from tests.support.job_process import start_holder
from tests.support.logs import raw_sql
from tests.support.notes import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from settlement.core.rows import Job
    from settlement.store.database import Database

ONE_SLOT = {"verify": Kind(slots=1)}


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def put(db: Database, queue: JobQueue, deal_id: str, job_type: str = "verify") -> Job:
    return db.transaction(lambda tx: queue.enqueue(tx, job_type, deal_id))


def stored(queue: JobQueue, job: Job) -> Job:
    found = queue.get(job.job_id)
    assert found is not None
    return found


# --- time ----------------------------------------------------------------------------------------


def test_a_job_over_its_time_has_failed_and_its_late_result_touches_nothing(
    db: Database, database_url: str
) -> None:
    """Broken build: the time limit is the worker's own affair, so a hung job is renewed for ever;
    or the late result is taken although the attempt was failed."""
    queue = JobQueue(db, kinds={"verify": Kind(timeout_seconds=30)})
    put(db, queue, "deal_a")
    put(db, queue, "deal_b", "settle")
    (slow, other) = queue.claim(["verify", "settle"], 2, "w1")
    if slow.job_type != "verify":
        slow, other = other, slow
    assert queue.time_out(["verify"]) == 0
    raw_sql(database_url, "UPDATE job SET run_at_us = run_at_us - 31000000")
    assert queue.renew([slow]) == 1  # its holder lives; that is no excuse
    assert queue.time_out(["verify", "settle"]) == 1
    failed = stored(queue, slow)
    assert (failed.status, failed.last_error, failed.attempts) == ("retry", "timeout", 1)
    late: list[Callable[[], None]] = [
        lambda: queue.finish(slow, {"late": True}),
        lambda: queue.fail(slow, "late"),
        lambda: queue.progress(slow, {"late": True}),
    ]
    for change in late:
        with pytest.raises(LeaseLost):
            change()
    assert queue.renew([slow]) == 0
    assert stored(queue, slow) == failed
    assert stored(queue, other).status == "leased"


def test_any_claim_fails_what_is_over_its_time_and_an_effect_never_is(
    db: Database, database_url: str
) -> None:
    """Broken build: a hung worker's job waits for that worker; or an effect is given up."""
    limits = {"verify": Kind(timeout_seconds=1), "effect": Kind(timeout_seconds=1)}
    queue = JobQueue(db, kinds=limits)
    made = [put(db, queue, "deal_a", kind) for kind in limits]
    queue.claim(list(limits), 2, "w1")
    raw_sql(database_url, "UPDATE job SET run_at_us = run_at_us - 5000000")
    queue.claim(list(limits), 2, "w2")
    assert [stored(queue, job).status for job in made] == ["retry", "leased"]


def test_progress_is_a_sign_of_life_and_the_next_attempt_finds_it(
    db: Database, database_url: str
) -> None:
    """Broken build: a second attempt starts from nothing, and does twice what was done."""
    queue = JobQueue(db)
    put(db, queue, "deal_a")
    (job,) = queue.claim(["verify"], 1, "w1")
    raw_sql(database_url, "UPDATE job SET lease_expires_us = lease_expires_us - 30000000")
    before = stored(queue, job).lease_expires_us
    queue.progress(job, {"page": 3})
    after = stored(queue, job).lease_expires_us
    assert before is not None
    assert after is not None
    assert after > before
    queue.fail(job, "no")
    raw_sql(database_url, "UPDATE job SET run_at_us = 0")
    (again,) = queue.claim(["verify"], 1, "w2")
    assert json.loads(again.result or "") == {"page": 3}
    with pytest.raises(LeaseLost):
        queue.progress(job, {"page": 4})


# --- slots ---------------------------------------------------------------------------------------


def test_two_hundred_loops_with_one_slot_never_overlap(db: Database, database_url: str) -> None:
    """Broken build: count, then claim, without taking turns: two claimers see the slot free."""
    feeder = JobQueue(db)
    for n in range(50):
        put(db, feeder, f"deal_{n}")
    inside, overlaps, loops, done = [0], [0], [0], [0]
    guard, start = threading.Lock(), threading.Barrier(4)

    def work(name: str) -> None:
        with opened(database_url) as mine:
            queue = JobQueue(mine, kinds=ONE_SLOT)
            start.wait(20)
            while True:
                with guard:
                    if done[0] >= 50 and loops[0] >= 200:
                        return
                    loops[0] += 1
                for job in queue.claim(["verify"], 5, name):
                    with guard:
                        inside[0] += 1
                        overlaps[0] += inside[0] > 1
                    threading.Event().wait(0.001)
                    with guard:
                        inside[0] -= 1
                    queue.finish(job)
                    with guard:
                        done[0] += 1

    workers = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert (overlaps[0], done[0]) == (0, 50)
    assert loops[0] >= 200


def test_a_full_kind_does_not_hold_up_others(db: Database) -> None:
    """Broken build: the limit is on the claim, and a full kind starves the rest."""
    queue = JobQueue(db, kinds=ONE_SLOT)
    for n in range(3):
        put(db, queue, f"deal_{n}")
        put(db, queue, f"deal_{n}", "settle")
    taken = queue.claim(["verify", "settle"], 9, "w1")
    assert sorted(job.job_type for job in taken) == ["settle"] * 3 + ["verify"]
    assert queue.claim(["verify", "settle"], 9, "w2") == []


def test_a_holder_stopped_past_its_lease_gets_nothing_more_done(
    db: Database, database_url: str
) -> None:
    """SIGSTOP, the lease runs out, another finishes, SIGCONT.

    Broken build: the slot is a counter that the dead holder never gives back, or the late holder's
    finish, progress or release counts.
    """
    queue = JobQueue(db, kinds=ONE_SLOT)
    job = put(db, queue, "deal_a")
    holder = start_holder(database_url)
    try:
        os.kill(holder.pid, signal.SIGSTOP)
        assert queue.claim(["verify"], 1, "w2") == []  # the slot is taken
        raw_sql(database_url, "UPDATE job SET lease_expires_us = 1")
        (mine,) = queue.claim(["verify"], 1, "w2")  # and comes back with the lease
        queue.progress(mine, {"by": "w2"})
        queue.finish(mine, {"by": "w2"})
        before = stored(queue, job)
        os.kill(holder.pid, signal.SIGCONT)
        assert holder.act() == {"progress": 0, "finish": 0, "fail": 0, "release": 0, "renew": 0}
        assert stored(queue, job) == before
        assert (before.status, before.result) == ("done", '{"by": "w2"}')
    finally:
        holder.kill()


# --- types and periods ---------------------------------------------------------------------------


def test_types_that_nobody_here_knows_are_left_alone(db: Database) -> None:
    """Broken build: an older worker fails a newer release's jobs until they are dead."""
    queue = JobQueue(db, kinds=ONE_SLOT)
    job = put(db, queue, "deal_a", "from_a_later_release")
    assert queue.claim(["verify", "settle"], 9, "w1") == []
    assert stored(queue, job) == job


def test_a_period_fires_once_across_processes(db: Database, database_url: str) -> None:
    """Broken build: each process counts its own periods, or a new holder fires again."""
    entries = [Every(job_type="sweep", period_seconds=10**6)]
    queue = JobQueue(db)
    schedulers = [Scheduler(db, queue, entries, owner=f"w{n}") for n in range(3)]
    assert [scheduler.step() for scheduler in schedulers] == [1, 0, 0]
    assert schedulers[0].step() == 0
    raw_sql(database_url, "UPDATE lease SET expires_us = 1")
    assert schedulers[1].step() == 0
    assert db.transaction(schedulers[0].fire_in) == 0  # overslept: the key stops it, not the lease
    schedulers[0].close()
    schedulers[1].close()
    assert len(queue.claim(["sweep"], 9, "w1")) == 1
    raw_sql(database_url, "UPDATE job SET dedup_key = 'the period before'")
    assert schedulers[2].step() == 1
