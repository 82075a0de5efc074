"""Chains of events, as stored.

For: bundles, the replay of a deal, and `service/event_store.py`.
Guarantees: payloads are the exact text that was hashed.
Does not: check links or hashes.
Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.rows import Event

if TYPE_CHECKING:
    from settlement.store.database import Tx


def load_chain(tx: Tx, deal_id: str) -> list[Event]:
    """All events of a chain, in version order."""
    return [Event(**row) for row in tx.all("chain_events", deal_id=deal_id)]
