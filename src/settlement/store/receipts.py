"""Verification receipts, as stored.

For: `service/receipt_store.py` and the routes that list receipts.
Guarantees: oldest first.
Does not: write; recording a receipt is an operation, since it may append an event.
Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.rows import Receipt

if TYPE_CHECKING:
    from settlement.store.database import Tx


def list_receipts(tx: Tx, deal_id: str) -> list[Receipt]:
    """All receipts of a deal."""
    return [Receipt(**row) for row in tx.all("receipt_list", deal_id=deal_id)]


def find_receipt(tx: Tx, receipt_id: str) -> Receipt | None:
    """One receipt."""
    row = tx.maybe("receipt_find", receipt_id=receipt_id)
    return Receipt(**row) if row else None
