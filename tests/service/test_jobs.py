"""Jobs and leases: one holder at a time, and a holder that overslept changes nothing.

On both databases, by their own clocks: a lease is made to run out by moving its end.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import LeaseLost
from settlement.service.jobs import JobQueue
from settlement.service.leases import LeaseTable
from tests.support.logs import raw_sql
from tests.support.notes import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from settlement.core.rows import Job
    from settlement.store.database import Database, Tx

EPOCH = 2**40


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


@pytest.fixture
def queue(db: Database) -> JobQueue:
    return JobQueue(db, randbelow=lambda below: below - 1)


def put(db: Database, queue: JobQueue, deal_id: str, **more: Any) -> Job:
    def enqueue(tx: Tx) -> Job:
        return queue.enqueue(tx, more.get("job_type", "verify"), deal_id, **more.get("with_", {}))

    return db.transaction(enqueue)


def run_out(url: str) -> None:
    """Let every lease run out."""
    raw_sql(url, "UPDATE job SET lease_expires_us = 1 WHERE status = 'leased'")
    raw_sql(url, "UPDATE lease SET expires_us = 1")


def due(url: str) -> None:
    """Let every retry be due."""
    raw_sql(url, "UPDATE job SET run_at_us = 0")


# --- queueing ------------------------------------------------------------------------------------


def test_one_job_per_type_and_key_whatever_became_of_it(db: Database, queue: JobQueue) -> None:
    """Broken build: a done job is queued anew, and what it did is done twice."""
    first = put(db, queue, "deal_a")
    assert put(db, queue, "deal_a").job_id == first.job_id
    assert put(db, queue, "deal_a", job_type="settle").job_id != first.job_id
    by_payee = put(db, queue, "deal_a", with_={"payload": {"n": 1}, "dedup_key": "payee"})
    assert (by_payee.payload, by_payee.dedup_key) == ('{"n": 1}', "payee")
    (job,) = queue.claim(["settle"], 9, "w1")
    queue.finish(job, {"ok": True})
    again = put(db, queue, "deal_a", job_type="settle")
    assert (again.job_id, again.status, again.result) == (job.job_id, "done", '{"ok": true}')
    assert queue.claim(["settle"], 9, "w1") == []


def test_a_job_is_queued_only_if_its_transaction_commits(db: Database, queue: JobQueue) -> None:
    def fail(tx: Tx) -> None:
        queue.enqueue(tx, "verify", "deal_a")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        db.transaction(fail)
    assert queue.claim(["verify"], 9, "w1") == []


# --- claiming ------------------------------------------------------------------------------------


def test_only_known_types_are_claimed_oldest_first(db: Database, queue: JobQueue) -> None:
    made = [put(db, queue, f"deal_{n}") for n in range(3)]
    put(db, queue, "deal_x", job_type="reconcile")
    taken = queue.claim(["verify", "settle"], 2, "w1")
    assert [job.job_id for job in taken] == [job.job_id for job in made[:2]]
    assert {(job.status, job.attempts, job.lease_owner) for job in taken} == {("leased", 1, "w1")}


def test_two_claimers_never_share_a_job(db: Database, database_url: str) -> None:
    """Broken build: select, then update: both see the job ready. Or a limit that is exceeded."""
    queue = JobQueue(db)
    for n in range(120):
        put(db, queue, f"deal_{n}")
    taken: list[list[str]] = []
    start = threading.Barrier(4)

    def claim() -> None:
        with opened(database_url) as mine:
            own = JobQueue(mine)
            start.wait(20)
            found: list[str] = []
            while jobs := own.claim(["verify"], 7, threading.current_thread().name):
                assert len(jobs) <= 7
                found += [job.job_id for job in jobs]
            taken.append(found)

    claimers = [threading.Thread(target=claim) for _ in range(4)]
    for claimer in claimers:
        claimer.start()
    for claimer in claimers:
        claimer.join(60)
    everything = [job_id for found in taken for job_id in found]
    assert len(everything) == len(set(everything)) == 120


# --- fences --------------------------------------------------------------------------------------


def test_whoever_lost_the_lease_changes_nothing(
    db: Database, queue: JobQueue, database_url: str
) -> None:
    """Broken build: finish matches the id only; a worker that overslept ends another's work."""
    put(db, queue, "deal_a")
    (late,) = queue.claim(["verify"], 1, "w1")
    run_out(database_url)
    (mine,) = queue.claim(["verify"], 1, "w2")
    assert mine.lease_fence > late.lease_fence
    changes: list[Callable[[], None]] = [
        lambda: queue.finish(late),
        lambda: queue.fail(late, "no"),
        lambda: db.transaction(lambda tx: queue.defer_in(tx, late, 1, "no")),
    ]
    for change in changes:
        with pytest.raises(LeaseLost):
            change()
    assert queue.renew([late]) == 0
    assert db.transaction(lambda tx: queue.finish_many_in(tx, [late])) == 0
    assert queue.renew([mine]) == 1
    stored = queue.get(mine.job_id)
    assert stored is not None
    assert (stored.status, stored.lease_owner, stored.lost_leases) == ("leased", "w2", 1)
    queue.finish(mine)


def test_an_expired_lease_is_no_lease_before_anybody_takes_it(
    db: Database, queue: JobQueue, database_url: str
) -> None:
    put(db, queue, "deal_a")
    (late,) = queue.claim(["verify"], 1, "w1")
    run_out(database_url)
    assert queue.renew([late]) == 0


def test_a_fence_jumps_with_the_recovery_epoch(
    db: Database, queue: JobQueue, database_url: str
) -> None:
    """Broken build: after a restore fences start low, and an old holder's writes count again."""
    put(db, queue, "deal_a")
    raw_sql(database_url, "UPDATE setting SET value = '3' WHERE name = 'recovery_epoch'")
    (job,) = queue.claim(["verify"], 1, "w1")
    assert job.lease_fence == 3 * EPOCH + 1


# --- failing -------------------------------------------------------------------------------------


def test_backoff_is_spread_up_to_a_bound_that_doubles(db: Database) -> None:
    bounds = [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    longest = JobQueue(db, randbelow=lambda below: below - 1)
    shortest = JobQueue(db, randbelow=lambda below: 0)
    assert [longest.backoff_us(n) for n in range(1, 11)] == [s * 1_000_000 for s in bounds]
    assert {shortest.backoff_us(n) for n in range(1, 11)} == {1}
    assert longest.backoff_us(10_000) == 300_000_000


def test_a_job_dies_after_eight_attempts_and_an_effect_job_never(
    db: Database, queue: JobQueue, database_url: str
) -> None:
    """Broken build: a dead effect job leaves money on its way that nobody asks about."""
    for job_type in ("verify", "effect"):
        put(db, queue, "deal_a", job_type=job_type)
        for attempt in range(1, 9):
            due(database_url)
            (job,) = queue.claim([job_type], 1, "w1")
            assert job.attempts == attempt
            queue.fail(job, f"attempt {attempt}")
        stored = queue.get(job.job_id)
        assert stored is not None
        assert stored.last_error == "attempt 8"
        assert stored.status == ("dead" if job_type == "verify" else "retry")
        due(database_url)
        assert len(queue.claim([job_type], 1, "w1")) == (job_type == "effect")


def test_a_retry_waits_for_its_time(db: Database, queue: JobQueue) -> None:
    put(db, queue, "deal_a")
    (job,) = queue.claim(["verify"], 1, "w1")
    queue.fail(job, "no")
    stored = queue.get(job.job_id)
    assert stored is not None
    assert stored.run_at_us - job.run_at_us >= 2_000_000
    assert queue.claim(["verify"], 1, "w1") == []


def test_three_lost_leases_kill_a_job_and_no_effect_job(
    db: Database, queue: JobQueue, database_url: str
) -> None:
    """Broken build: a job that kills its worker is handed to one worker after another."""
    for job_type in ("verify", "effect"):
        put(db, queue, "deal_a", job_type=job_type)
        for _ in range(3):
            assert len(queue.claim([job_type], 1, "w1")) == 1
            run_out(database_url)
        assert len(queue.claim([job_type], 1, "w1")) == (job_type == "effect")


def test_a_dead_job_lives_again_only_when_an_operator_says_so(
    db: Database, queue: JobQueue, database_url: str
) -> None:
    put(db, queue, "deal_a")
    raw_sql(database_url, "UPDATE job SET status = 'dead', attempts = 8, lost_leases = 3")
    assert put(db, queue, "deal_a").status == "dead"
    (job_id,) = [put(db, queue, "deal_a").job_id]
    job = queue.requeue(job_id, "rail is back", "operator_1")
    assert job is not None
    assert (job.status, job.attempts, job.lost_leases) == ("queued", 0, 0)
    assert job.last_error == "requeued by operator_1: rail is back"
    assert len(queue.claim(["verify"], 1, "w1")) == 1
    assert queue.requeue("job_unknown", "x", "y") is None


def test_handing_back_uses_no_attempt(db: Database, queue: JobQueue) -> None:
    for n in range(2):
        put(db, queue, f"deal_{n}")
    (job,) = queue.claim(["verify"], 1, "w1")
    (other,) = queue.claim(["verify"], 1, "w2")
    assert queue.hand_back("w1") == 1
    with pytest.raises(LeaseLost):
        queue.finish(job)
    (again,) = queue.claim(["verify"], 2, "w3")
    assert (again.job_id, again.attempts, again.lost_leases) == (job.job_id, 1, 0)
    queue.finish(other)


# --- leases by name ------------------------------------------------------------------------------


def test_a_lease_has_one_holder_and_a_fence_that_only_grows(
    db: Database, database_url: str
) -> None:
    """Broken build: an expired holder may still renew, or its successor gets the same fence."""
    leases = LeaseTable(db)
    first = leases.acquire("sequencer", "w1", 60)
    assert first is not None
    assert leases.acquire("sequencer", "w2", 60) is None
    assert leases.acquire("sequencer", "w1", 60) is None
    assert leases.acquire("other", "w2", 60) is not None
    assert leases.renew(first, 60).fence == first.fence
    run_out(database_url)
    with pytest.raises(LeaseLost):
        leases.renew(first, 60)
    second = leases.acquire("sequencer", "w2", 60)
    assert second is not None
    assert second.fence > first.fence
    with pytest.raises(LeaseLost):
        leases.release(first)
    leases.release(second)
    raw_sql(database_url, "UPDATE setting SET value = '1' WHERE name = 'recovery_epoch'")
    third = leases.acquire("sequencer", "w1", 60)
    assert third is not None
    assert third.fence == EPOCH + 1


def test_of_many_who_want_a_lease_one_gets_it(db: Database, database_url: str) -> None:
    got: list[object] = []
    start = threading.Barrier(8)

    def want(name: str) -> None:
        start.wait(20)
        got.append(LeaseTable(db).acquire("sequencer", name, 60))

    rivals = [threading.Thread(target=want, args=(f"w{n}",)) for n in range(8)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join(30)
    assert len(got) == 8
    assert sum(lease is not None for lease in got) == 1
