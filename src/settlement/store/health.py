"""Figures of `/health` and `/metrics`, each bounded.

Guarantees: no figure costs more on a database with a long history; counts stop at FIGURE_MAX.
Does not: judge.

Change colour: green.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.store.pauses import read_pauses

if TYPE_CHECKING:
    from settlement.store.database import Tx

FIGURE_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits, as of one snapshot."""

    now: str
    now_us: int
    jobs_ready: int
    jobs_leased: int
    jobs_dead: int
    unknown_effects: int
    unknown_oldest: str | None
    outbox_oldest: str | None
    outbox_parked: int
    inbox_open: int
    contradictions: int
    deliveries_due: int
    paused: tuple[str, ...]


def read_backlog(tx: Tx) -> Backlog:
    """Count what waits."""
    oldest = tx.maybe("health_outbox_oldest")
    unknown = tx.one("health_effects_unknown", limit=FIGURE_MAX)
    return Backlog(
        now=tx.now,
        now_us=tx.now_us,
        jobs_ready=tx.one("health_jobs_ready", limit=FIGURE_MAX)["found"],
        jobs_leased=tx.one("health_jobs_leased", limit=FIGURE_MAX)["found"],
        jobs_dead=tx.one("health_jobs_dead", limit=FIGURE_MAX)["found"],
        unknown_effects=unknown["found"],
        unknown_oldest=unknown["oldest"],
        outbox_oldest=oldest["timestamp"] if oldest is not None else None,
        outbox_parked=tx.one("health_outbox_parked", limit=FIGURE_MAX)["found"],
        inbox_open=tx.one("health_inbox_open", limit=FIGURE_MAX)["found"],
        contradictions=tx.one("health_contradictions", limit=FIGURE_MAX)["found"],
        deliveries_due=tx.one("health_deliveries_due", limit=FIGURE_MAX, now_us=tx.lease_us)[
            "found"
        ],
        paused=read_pauses(tx).on,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What `/metrics` tells beside the backlog; times as the books have them, None: never."""

    now_us: int
    effects: dict[str, int]
    intents_open: int
    intents_soonest: str | None
    feed_released: str | None
    head_signed: str | None
    head_size: int
    database_bytes: int


def read_stock(tx: Tx) -> Stock:
    """Count what is kept open."""
    intents = tx.one("health_intents_open", limit=FIGURE_MAX)
    feed = tx.maybe("health_feed_last")
    head = tx.maybe("health_head_last")
    return Stock(
        now_us=tx.now_us,
        effects=effects_in_flight(tx),
        intents_open=intents["found"],
        intents_soonest=intents["soonest"],
        feed_released=None if feed is None else feed["released_at"],
        head_signed=None if head is None else head["timestamp"],
        head_size=0 if head is None else head["tree_size"],
        database_bytes=tx.one("health_database_bytes")["bytes"],
    )


def effects_in_flight(tx: Tx) -> dict[str, int]:
    """How many effects have no outcome yet, by state."""
    rows = tx.all("health_effects_open", limit=FIGURE_MAX)
    return {row["state"]: row["found"] for row in rows}


def ping(tx: Tx) -> None:
    """Raise what reading raises when the database is away."""
    tx.one("health_ping")
