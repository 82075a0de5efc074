"""Gauges of what waits and what works, for Prometheus: jobs, outbox, log, effects, engine, loops.

Guarantees: one bounded read of the database serves all scrapes of a few seconds; a database that is
away leaves the figures as they were and says so in `settlement_database_up`. Names carry their
unit; no label carries an agent, a deal, a key or a price. An age of `+Inf` means never.
Does not: count requests (`metrics.py`) or what happens (`counters.py`). Counters are of this
process since its start; what is read from the database is the same in every process.

Contract §3.8. Change colour: green.
"""

from __future__ import annotations

import math
import platform
import time
from typing import TYPE_CHECKING, Any, Final, cast

from prometheus_client import Gauge

from settlement import __version__
from settlement.core.clock import parse_time
from settlement.core.rows import EffectState
from settlement.edge.http import place_metrics
from settlement.edge.http.totals import Spread, Total
from settlement.service import health
from settlement.store.database import SystemClock
from settlement.store.pauses import Switch

if TYPE_CHECKING:
    from litestar import Request

    from settlement.edge.http.request import EdgeRequest
    from settlement.edge.http.services import HttpServices
    from settlement.store.health import Stock

CACHE_SECONDS: Final = 5.0
_READ_AT: Final = "operations_metrics_read_at"
_MS: Final = 1_000
_US: Final = 1_000_000

BUILD: Final = Gauge(
    "settlement_build_info", "Always 1; what runs", ("version", "python", "database", "mode")
)
DATABASE_UP: Final = Gauge("settlement_database_up", "Whether the database answered the last read")
DATABASE_SIZE: Final = Gauge("settlement_database_size_bytes", "What the database takes up")
BEHIND: Final = Gauge("settlement_behind_checkpoint", "1: read-only, behind what was signed")
JOBS: Final = Gauge("settlement_jobs", "Jobs that are not done, at most 10000", ("status",))
OUTBOX_AGE: Final = Gauge("settlement_outbox_oldest_age_seconds", "Age of the oldest message")
OUTBOX_PARKED: Final = Gauge("settlement_outbox_parked", "Messages given up on, at most 10000")
INBOX: Final = Gauge(
    "settlement_inbox_messages", "Messages of rails, at most 10000 each", ("status",)
)
DELIVERIES: Final = Gauge("settlement_deliveries_due", "Webhook deliveries that are due")
LOG_LAG: Final = Gauge("settlement_log_lag_seconds", "Age of the oldest event not in a tree head")
HEAD_AGE: Final = Gauge("settlement_log_head_age_seconds", "Since the last tree head was signed")
HEAD_SIZE: Final = Gauge("settlement_log_head_events", "Events under the last tree head")
EFFECTS: Final = Gauge(
    "settlement_effects", "Effects without an outcome, at most 10000", ("state",)
)
UNKNOWN_AGE: Final = Gauge(
    "settlement_effects_unknown_oldest_age_seconds", "Since the oldest unknown one was sent"
)
TRIES: Final = Total(
    "settlement_webhook_tries", "Tries of deliveries, by how they ended", "outcome"
)
INTENTS: Final = Gauge("settlement_exchange_open_intents", "Intents open for bids, at most 10000")
OVERDUE: Final = Gauge("settlement_exchange_overdue_seconds", "How long one is past its close")
FEED_AGE: Final = Gauge("settlement_feed_release_age_seconds", "Since the last hour's release")
PAUSED: Final = Gauge("settlement_paused", "Whether the switch is paused", ("switch",))
ENGINE_QUEUE: Final = Gauge("settlement_engine_queue_operations", "Operations that wait")
ENGINE_BATCHES: Final = Total("settlement_engine_batches", "Batches committed")
ENGINE_DONE: Final = Total("settlement_engine_operations", "Operations committed")
ENGINE_SECONDS: Final = Total("settlement_engine_commit_seconds", "Time spent in batches")
ENGINE_SIZES: Final = Spread("settlement_engine_batch_operations", "Operations in a batch")
LOOP_AGE: Final = Gauge(
    "settlement_worker_loop_heartbeat_age_seconds", "Since the loop's last step", ("loop",)
)
LOOP_ALIVE: Final = Gauge("settlement_worker_loop_alive", "Whether the loop runs here", ("loop",))
LOOP_CRASHES: Final = Total("settlement_worker_loop_crashes", "Since the start", "loop")


async def refresh(scrape: Request[Any, Any, Any]) -> None:
    """Before a scrape: read the database if the last read is too old, and this process always."""
    request = cast("EdgeRequest", scrape)
    services, state = request.services, request.app.state
    now = time.monotonic()
    if now - state.get(_READ_AT, -CACHE_SECONDS) >= CACHE_SECONDS:
        state[_READ_AT] = now
        _show(*await request.threads.read(_look, services))
    _process(services)


def refresh_now(services: HttpServices) -> None:
    """The same for a process without a server, read at each scrape."""
    _show(*_look(services))
    _process(services)


def _show(figures: dict[str, Any], stock: Stock | None) -> None:
    # Half an answer is none: a role that may not read one table would leave figures at zero.
    if stock is None or "database_error" in figures:
        DATABASE_UP.set(0)
        return
    DATABASE_UP.set(1)
    _waiting(figures)
    _kept(stock)


def _look(services: HttpServices) -> tuple[dict[str, Any], Stock | None]:
    place_metrics.look(services.settings, SystemClock().now_us())
    return health.figures(services.db, services.log_views), health.find_stock(services.db)


def _waiting(figures: dict[str, Any]) -> None:
    JOBS.labels("ready").set(figures["queue_depth"])
    JOBS.labels("leased").set(figures["leased_jobs"])
    JOBS.labels("dead").set(figures["dead_jobs"])
    OUTBOX_AGE.set(figures["oldest_outbox_ms"] / _MS)
    OUTBOX_PARKED.set(figures["parked_outbox"])
    INBOX.labels("new").set(figures["unapplied_messages"])
    INBOX.labels("contradiction").set(figures["contradictions"])
    DELIVERIES.set(figures["due_deliveries"])
    LOG_LAG.set(figures["log_lag_ms"] / _MS)
    UNKNOWN_AGE.set(figures["oldest_unknown_ms"] / _MS)
    for switch in Switch:
        PAUSED.labels(switch.value).set(switch.value in figures["paused"])


def _kept(stock: Stock) -> None:
    for state in (EffectState.PLANNED, EffectState.SENT, EffectState.UNKNOWN):
        EFFECTS.labels(state.value).set(stock.effects.get(state.value, 0))
    INTENTS.set(stock.intents_open)
    overdue = 0 if stock.intents_soonest is None else _since(stock, stock.intents_soonest)
    OVERDUE.set(max(0, overdue))
    FEED_AGE.set(_since(stock, stock.feed_released))
    HEAD_AGE.set(_since(stock, stock.head_signed))
    HEAD_SIZE.set(stock.head_size)
    DATABASE_SIZE.set(stock.database_bytes)


def _since(stock: Stock, time_text: str | None) -> float:
    return math.inf if time_text is None else (stock.now_us - parse_time(time_text)) / _US


def _process(services: HttpServices) -> None:
    settings = services.settings
    BUILD.labels(__version__, platform.python_version(), services.db.kind, settings.mode.value).set(
        1
    )
    BEHIND.set(0 if services.behind is None else 1)
    figures = services.engine.figures
    ENGINE_QUEUE.set(services.engine.stats()["queue_depth"])
    ENGINE_BATCHES.set(figures.batches)
    ENGINE_DONE.set(figures.operations)
    ENGINE_SECONDS.set(figures.commit_us / _US)
    ENGINE_SIZES.set(figures.sizes(), figures.operations)
    for name, beat in services.worker.heartbeats().items():
        LOOP_AGE.labels(name).set(beat["age_ms"] / _MS if beat["alive"] else 0)
        LOOP_ALIVE.labels(name).set(beat["alive"])
        LOOP_CRASHES.set(beat["crashes"], name)
    for outcome, tries in services.deliveries.tries().items():
        TRIES.set(tries, outcome)
