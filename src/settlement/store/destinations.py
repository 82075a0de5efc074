"""Payout destinations for their owner: read, and change of status.

Guarantees: an owner's list goes by its index and is bounded.
Does not: choose where a payout goes; the payout operation does.

Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.rows import Destination

if TYPE_CHECKING:
    from settlement.store.database import Tx


def find_destination(tx: Tx, destination_id: str) -> Destination | None:
    """The destination of that id."""
    row = tx.maybe("destinations_get", destination_id=destination_id)
    return Destination(**row) if row is not None else None


def destinations_of(tx: Tx, owner_id: str, limit: int) -> list[Destination]:
    """An owner's destinations, oldest first."""
    rows = tx.all("destinations_of_owner", owner_id=owner_id, limit=limit)
    return [Destination(**row) for row in rows]


def set_status(tx: Tx, destination_id: str, status: str) -> None:
    """Change whether payouts may go there."""
    tx.run("destinations_set_status", destination_id=destination_id, status=status)
