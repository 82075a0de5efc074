"""Mandates as their buyer reads them, and which of them an auto-go may try.

Guarantees: goes by the buyer's index and is bounded.
Does not: lock; `loading.py` does, before anything is decided.

Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.mandate_rows import Mandate

if TYPE_CHECKING:
    from settlement.store.database import Tx


def mandates_of(tx: Tx, buyer_id: str, limit: int) -> list[tuple[Mandate, int]]:
    """A buyer's mandates, newest first, each with what its reserve can give."""
    rows = tx.all("mandates_of_buyer", buyer_id=buyer_id, limit=limit)
    found = [(row.pop("available_minor"), row) for row in rows]
    return [(Mandate(**row), available_minor) for available_minor, row in found]


def live_mandates(tx: Tx, buyer_id: str, limit: int) -> tuple[str, ...]:
    """Ids of a buyer's mandates that have not ended, oldest first."""
    rows = tx.all("mandates_live", buyer_id=buyer_id, now=tx.now, limit=limit)
    return tuple(sorted(row["mandate_id"] for row in rows))
