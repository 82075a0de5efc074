"""The event store under the readiness report's names: append, get_chain, compute_daily_root.

For: callers outside the house who know those names, and signed statements of callers.
Guarantees: an append is the engine's AppendEvent operation, so it shares the chain's lock, its
constraints and the batch's commit; what it returns is committed.
Does not: write money events; the operation that moves the money appends them.

Spec §8.1. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from settlement.core.operations.append_event import AppendEvent
from settlement.core.principal import SYSTEM, Principal
from settlement.service.bundles import event_document
from settlement.store.events import load_chain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from settlement.core.canonical import Json
    from settlement.service.engine import Engine
    from settlement.service.log_views import LogViews
    from settlement.store.database import Database


class EventStore:
    """Chains of events, one per deal."""

    def __init__(self, db: Database, engine: Engine, views: LogViews) -> None:
        self._db = db
        self._engine = engine
        self._views = views

    def append(
        self,
        record: Mapping[str, Json],
        expected_prev: str | None = None,
        *,
        principal: Principal = SYSTEM,
    ) -> dict[str, Any]:
        """The record as stored; `_idempotent` tells whether it was there already.

        Raises IdempotencyConflict for a known event id with other content, and ChainConflict,
        which names the head, when the chain has moved past `expected_prev`.
        """
        operation = AppendEvent(principal=principal, record=record, expected_prev=expected_prev)
        return self._engine.execute(operation).unwrap()

    def get_chain(self, deal_id: str) -> list[dict[str, Any]]:
        """All events of a chain in order; empty for an unknown one."""
        return [
            event_document(event) for event in self._db.read(lambda tx: load_chain(tx, deal_id))
        ]

    def compute_daily_root(self, day: str | date) -> dict[str, Any]:
        """Root and event count of a UTC day's leaves in log order."""
        return self._views.compute_daily_root(day)
