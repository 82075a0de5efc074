"""Is the process well, and may it be sent work: figures and checks (spec §9.3, contract §3.8).

Guarantees: health answers whatever state the database is in; a check that fails says in one
sentence what is wrong and what to do. No figure names an agent, a deal or a price.
Does not: repair anything.

Change colour: green.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import parse_time
from settlement.core.errors import SettlementError
from settlement.store.database import StoreError
from settlement.store.health import ping, read_backlog, read_stock
from settlement.store.operator import schema_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from settlement.service.log_views import LogViews
    from settlement.store.database import Database
    from settlement.store.health import Backlog, Stock


_MEBIBYTE: Final = 2**20
#: Room for what is being written, and for stopping in order.
FREE_MIN_BYTES: Final = 16 * _MEBIBYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition of readiness."""

    ok: bool
    detail: str = ""

    def document(self) -> dict[str, Any]:
        """As `/ready` shows it."""
        return {"ok": self.ok, "detail": self.detail} if self.detail else {"ok": self.ok}


def figures(db: Database, log_views: LogViews) -> dict[str, Any]:
    """What waits and for how long; `database_error` instead when the database does not answer."""
    try:
        backlog = db.read(read_backlog)
        lag_us = log_views.lag_us()
    except (SettlementError, StoreError) as error:
        return {"database_error": type(error).__name__}
    return {
        "queue_depth": backlog.jobs_ready,
        "leased_jobs": backlog.jobs_leased,
        "dead_jobs": backlog.jobs_dead,
        "oldest_outbox_ms": _age_ms(backlog, backlog.outbox_oldest),
        "parked_outbox": backlog.outbox_parked,
        "unapplied_messages": backlog.inbox_open,
        "contradictions": backlog.contradictions,
        "due_deliveries": backlog.deliveries_due,
        "log_lag_ms": lag_us // 1000,
        "unknown_effects": backlog.unknown_effects,
        "oldest_unknown_ms": _age_ms(backlog, backlog.unknown_oldest),
        "paused": list(backlog.paused),
    }


def find_stock(db: Database) -> Stock | None:
    """What is kept open, for `/metrics`; None when the database does not answer."""
    try:
        return db.read(read_stock)
    except (SettlementError, StoreError):
        return None


def _age_ms(backlog: Backlog, since: str | None) -> int:
    return 0 if since is None else max(0, backlog.now_us - parse_time(since)) // 1000


def database_checks(db: Database) -> dict[str, Check]:
    """Does the database answer, and is its schema this release's?"""
    try:
        db.read(ping)
        pending = schema_state(db).pending
    except (SettlementError, StoreError) as error:
        away = Check(ok=False, detail=f"The database does not answer ({type(error).__name__}).")
        return {"database": away, "migrations": away}
    if pending:
        detail = f"Migration {pending[0]} is missing; run `settlement migrate`."
        return {"database": Check(ok=True), "migrations": Check(ok=False, detail=detail)}
    return {"database": Check(ok=True), "migrations": Check(ok=True)}


def signing_check(*, signs: bool, live: bool) -> Check:
    """Without a key no heads are issued; a sandbox makes its own."""
    if signs:
        return Check(ok=True)
    if live:
        return Check(ok=False, detail="There is no signing key, so no tree heads are issued.")
    return Check(ok=True, detail="No signing key: no tree heads are issued.")


def checkpoint_check(behind: str | None) -> Check:
    """A log behind its checkpoint is read-only."""
    return Check(ok=True) if behind is None else Check(ok=False, detail=behind)


def disk_check(places: Mapping[str, Path], free_min: int = FREE_MIN_BYTES) -> Check:
    """A full disk takes no commit and no tree head."""
    for name, place in places.items():
        free = shutil.disk_usage(place).free
        if free < free_min:
            detail = f"{free // _MEBIBYTE} MiB are free where the {name} is kept; make room."
            return Check(ok=False, detail=detail)
    return Check(ok=True)
