"""Figures of `/health`, each bounded.

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


def ping(tx: Tx) -> None:
    """Raise what reading raises when the database is away."""
    tx.one("health_ping")
