"""The list of job kinds: what is in it runs, by itself too, and what is old is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.clock import DAY_US
from settlement.core.ids import DeliveryId, uuid7_hex
from settlement.service.job_kinds import JobKind, periodic, runner_of
from settlement.service.jobs import EFFECT, JobQueue
from settlement.service.prune import BATCH, Pruner
from settlement.service.schedule import Every, Scheduler, period_key
from tests.support.house import house
from tests.support.logs import raw_sql
from tests.support.notes import opened
from tests.support.raw import open_raw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.service.job_runner import Run
    from settlement.store.database import Database, Tx

HOURLY = Every(job_type="sweep", period_seconds=3600)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


def column(url: str, query: str) -> list[object]:
    with open_raw(url) as raw:
        return [row[0] for row in raw.rows(query)]


def test_a_kind_in_the_list_runs_when_queued_and_by_itself(db: Database) -> None:
    """Broken build: the runner or the scheduler is made of another list than the other."""
    ran: list[str] = []

    def note(run: Run) -> dict[str, Any]:
        ran.append(run.job.deal_id)
        return {}

    kinds = [
        JobKind(job_type="close", handler=note),
        JobKind(job_type="sweep", handler=note, every_seconds=3600),
    ]
    jobs = JobQueue(db)
    runner = runner_of(db, kinds, lease_seconds=60, owner="w")
    scheduler = Scheduler(db, jobs, periodic(kinds), owner="w")
    db.transaction(lambda tx: jobs.enqueue(tx, "close", "deal_a"))
    assert scheduler.step() == 1
    assert [runner.step() for _ in range(3)] == [1, 1, 0]
    assert sorted(ran) == ["deal_a", "sys_schedule"]


def test_a_kind_has_one_handler(db: Database) -> None:
    """Broken build: the later handler takes the jobs of the earlier one, without a word."""
    one = JobKind(job_type="close", handler=lambda _run: None)
    with pytest.raises(ValueError, match="close"):
        runner_of(db, [one, one], lease_seconds=60, owner="w")
    with pytest.raises(ValueError, match=EFFECT):
        runner_of(
            db,
            [JobKind(job_type=EFFECT, handler=lambda _run: None)],
            lease_seconds=60,
            owner="w",
        )


def test_the_loops_run_what_is_due_by_itself(tmp_path: Path, database_url: str) -> None:
    """Broken build: the scheduler or the runner is not among the loops."""
    with house(tmp_path, database_url) as services:
        beats = services.worker.heartbeats()
        assert {"jobs", "scheduler"} <= set(beats)
        services.scheduler.step()
    assert "prune" in column(database_url, "SELECT job_type FROM job")


def test_past_periods_are_forgotten_and_nothing_else(db: Database, database_url: str) -> None:
    """Broken build: a finished job goes whose key keeps something from being done twice; or one
    that is dead, and nobody learns of it."""
    jobs = JobQueue(db)
    keys = db.transaction(lambda tx: put_periods(tx, jobs))
    raw_sql(database_url, "UPDATE job SET status = 'done' WHERE deal_id <> 'sys_dead'")
    raw_sql(database_url, "UPDATE job SET status = 'dead' WHERE deal_id = 'sys_dead'")
    found = run_of(db, Pruner(db, [HOURLY]))
    assert found["periods"] == 2
    left = set(column(database_url, "SELECT dedup_key FROM job"))
    assert left == {keys["recent"], keys["dead"], "deal_done"}


def put_periods(tx: Tx, jobs: JobQueue) -> dict[str, str]:
    """Periods of eight days and of an hour ago, a dead one, and a job that is no period's."""
    now = tx.now_us // (3600 * 1_000_000)
    keys = {
        "old": period_key(HOURLY, now - 8 * 24),
        "older": period_key(HOURLY, now - 9 * 24),
        "recent": period_key(HOURLY, now - 1),
        "dead": period_key(HOURLY, now - 8 * 24 - 1),
    }
    for name, key in keys.items():
        jobs.enqueue(tx, "sweep", f"sys_{name}", {}, key)
    jobs.enqueue(tx, "sweep", "deal_done")
    return keys


def run_of(db: Database, pruner: Pruner) -> dict[str, Any]:
    """One round, as the runner makes it."""
    results: list[dict[str, Any]] = []
    jobs = JobQueue(db)
    db.transaction(lambda tx: jobs.enqueue(tx, "prune", "sys_now"))
    kind = JobKind(job_type="prune", handler=lambda run: results.append(pruner.handle(run)))
    assert runner_of(db, [kind], lease_seconds=60, owner="w").step() == 1
    raw = db.transaction(lambda tx: tx.run("prune_periods", job_type="prune", keys=["sys_now"]))
    assert raw == 1
    return results[0]


def test_old_deliveries_are_forgotten_unless_still_owed(db: Database, database_url: str) -> None:
    """Broken build: what waits for a paused or slow receiver goes, too; or one batch is all."""
    agent, hook = "agent_" + "1" * 32, "hook_" + "1" * 32
    old, owed, young = BATCH + 3, 2, 4
    raw_sql(
        database_url,
        "INSERT INTO agent (agent_id, name, agent_type, capabilities, description, api_endpoint,"
        " owner_email, status, operator, created_at)"
        f" VALUES ('{agent}', 'a', 'ai_agent', '[]', '', '', '', 'active', 0, '')",
    )
    raw_sql(
        database_url,
        "INSERT INTO hook (hook_id, owner_id, url, events, secret, status, created_at, updated_at)"
        f" VALUES ('{hook}', '{agent}', 'https://a', '[]', 's', 'active', '', '')",
    )

    def put(tx: Tx, n: int, days: int, status: str) -> None:
        body = n.to_bytes(10, "big")
        made = DeliveryId.prefix + uuid7_hex((tx.now_us - days * DAY_US) // 1000, body)
        tx.run(
            "delivery_insert",
            delivery_id=made,
            hook_id=hook,
            event_id=f"evt_{n}",
            stream="deal_a",
            version=n,
            name="settled",
            data=None,
            status=status,
            tries=1,
            due_us=0,
            last_status=None,
            last_error=None,
            now="",
        )

    def fill(tx: Tx) -> None:
        for n in range(old):
            put(tx, n, 31, ("delivered", "failed", "cancelled")[n % 3])
        for n in range(old, old + owed):
            put(tx, n, 60, "pending")
        for n in range(old + owed, old + owed + young):
            put(tx, n, 29, "delivered")

    db.transaction(fill)
    assert run_of(db, Pruner(db, []))["deliveries"] == old
    states = sorted(str(one) for one in column(database_url, "SELECT status FROM delivery"))
    assert states == ["delivered"] * young + ["pending"] * owed
