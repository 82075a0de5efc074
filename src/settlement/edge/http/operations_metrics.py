"""Gauges of what waits and what works, for Prometheus: jobs, outbox, log, effects, engine, loops.

Guarantees: one bounded read of the database serves all scrapes of a few seconds; a database that is
away leaves the figures as they were and says so in `settlement_database_up`. Names carry their
unit; no label carries an agent, a deal, a key or a price.
Does not: count requests (`metrics.py`).

Contract §3.8. Change colour: green.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast

from prometheus_client import Gauge

from settlement.service import health
from settlement.store.pauses import Switch

if TYPE_CHECKING:
    from litestar import Request

    from settlement.edge.http.request import EdgeRequest

CACHE_SECONDS: Final = 5.0
_READ_AT: Final = "operations_metrics_read_at"

DATABASE_UP: Final = Gauge("settlement_database_up", "Whether the database answered the last read")
JOBS: Final = Gauge("settlement_jobs", "Jobs that are not done, at most 10000", ("status",))
OUTBOX_AGE: Final = Gauge("settlement_outbox_oldest_age_seconds", "Age of the oldest message")
OUTBOX_PARKED: Final = Gauge("settlement_outbox_parked", "Messages given up on, at most 10000")
INBOX: Final = Gauge(
    "settlement_inbox_messages", "Messages of rails, at most 10000 each", ("status",)
)
DELIVERIES: Final = Gauge("settlement_deliveries_due", "Webhook deliveries that are due")
LOG_LAG: Final = Gauge("settlement_log_lag_seconds", "Age of the oldest event not in a tree head")
UNKNOWN: Final = Gauge("settlement_effects_unknown", "Effects without a known outcome")
UNKNOWN_AGE: Final = Gauge(
    "settlement_effects_unknown_oldest_age_seconds", "Since the oldest of them was sent"
)
PAUSED: Final = Gauge("settlement_paused", "Whether the switch is paused", ("switch",))
ENGINE_QUEUE: Final = Gauge("settlement_engine_queue_operations", "Operations that wait")
ENGINE_BATCH: Final = Gauge("settlement_engine_batch_operations_mean", "Operations per commit")
ENGINE_BATCHES: Final = Gauge("settlement_engine_batches_committed", "Batches since the start")
ENGINE_DONE: Final = Gauge("settlement_engine_operations_committed", "Operations since the start")
LOOP_AGE: Final = Gauge(
    "settlement_worker_loop_heartbeat_age_seconds", "Since the loop's last step", ("loop",)
)
LOOP_CRASHES: Final = Gauge("settlement_worker_loop_crashes", "Since the start", ("loop",))


async def refresh(scrape: Request[Any, Any, Any]) -> None:
    """Before a scrape: read the database if the last read is too old, and this process always."""
    request = cast("EdgeRequest", scrape)
    services, state = request.services, request.app.state
    now = time.monotonic()
    if now - state.get(_READ_AT, -CACHE_SECONDS) >= CACHE_SECONDS:
        state[_READ_AT] = now
        _database(await request.threads.read(health.figures, services.db, request.log_views))
    engine = services.engine.stats()
    ENGINE_QUEUE.set(engine["queue_depth"])
    ENGINE_BATCH.set(engine["batch_size_mean"])
    ENGINE_BATCHES.set(engine["batches"])
    ENGINE_DONE.set(engine["operations"])
    for name, beat in services.worker.heartbeats().items():
        LOOP_AGE.labels(name).set(beat["age_ms"] / 1000)
        LOOP_CRASHES.labels(name).set(beat["crashes"])


def _database(figures: dict[str, Any]) -> None:
    away = "database_error" in figures
    DATABASE_UP.set(0 if away else 1)
    if away:
        return
    JOBS.labels("ready").set(figures["queue_depth"])
    JOBS.labels("leased").set(figures["leased_jobs"])
    JOBS.labels("dead").set(figures["dead_jobs"])
    OUTBOX_AGE.set(figures["oldest_outbox_ms"] / 1000)
    OUTBOX_PARKED.set(figures["parked_outbox"])
    INBOX.labels("new").set(figures["unapplied_messages"])
    INBOX.labels("contradiction").set(figures["contradictions"])
    DELIVERIES.set(figures["due_deliveries"])
    LOG_LAG.set(figures["log_lag_ms"] / 1000)
    UNKNOWN.set(figures["unknown_effects"])
    UNKNOWN_AGE.set(figures["oldest_unknown_ms"] / 1000)
    for switch in Switch:
        PAUSED.labels(switch.value).set(switch.value in figures["paused"])
