"""Forgetting what nobody needs any more, a little at a time.

For: the periodic job `prune`.
Guarantees: gone are deliveries to webhooks that came to their end over 30 days ago, and finished
jobs of periods over a week ago: the key of a period that is past fires nothing. Work is done in
batches of their own transactions, so that money never waits for more than one of them.
Does not: touch the books, events, outcomes of money calls, dead jobs, or a finished job whose key
still keeps something from being done twice.

Spec §6.3, §9.1. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import SECOND_US, days_before
from settlement.core.ids import DeliveryId
from settlement.service.schedule import Every, period_key
from settlement.store import prune as rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.service.job_runner import Run
    from settlement.store.database import Database, Tx

PRUNE: Final = "prune"
PRUNE_SECONDS: Final = 3600
DELIVERY_DAYS: Final = 30
PERIOD_DAYS: Final = 7
BATCH: Final = 500
#: Enough for the busiest hour; what is left over goes in the next.
_BATCHES_MAX: Final = 100
#: Periods looked at behind the week that is kept, per run.
_PERIODS_BACK: Final = 500


class Pruner:
    """The handler of `prune`."""

    def __init__(self, db: Database, entries: Sequence[Every]) -> None:
        self._db = db
        self._entries = list(entries)

    def handle(self, _run: Run) -> dict[str, Any]:
        """One round; how many rows went."""
        periods = self._db.transaction(
            lambda tx: sum(_periods(tx, entry) for entry in self._entries)
        )
        return {"deliveries": self._deliveries(), "periods": periods}

    def _deliveries(self) -> int:
        gone = 0
        for _ in range(_BATCHES_MAX):
            found = self._db.transaction(_old_deliveries)
            gone += found
            if found < BATCH:
                break
        return gone


def _old_deliveries(tx: Tx) -> int:
    oldest_ms = days_before(tx.now_us, DELIVERY_DAYS) // 1000
    return rows.delete_deliveries(tx, f"{DeliveryId.prefix}{oldest_ms:012x}", BATCH)


def _periods(tx: Tx, entry: Every) -> int:
    oldest = days_before(tx.lease_us, PERIOD_DAYS) // (entry.period_seconds * SECOND_US)
    numbers = range(max(0, oldest - _PERIODS_BACK), oldest)
    keys = [period_key(entry, number) for number in numbers]
    return rows.delete_periods(tx, entry.job_type, keys) if keys else 0
