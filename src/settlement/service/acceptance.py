"""Reviews as clients look them up: by deal, and the deal of one they were told of.

Guarantees: a review is public, as the events of its deal are.
Does not: decide; the operations do.

Contract §5.1. Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from settlement.core.errors import AcceptanceNotFound
from settlement.core.operations.acceptance import acceptance_view
from settlement.service.deals import get_deal
from settlement.store import acceptance as rows

if TYPE_CHECKING:
    from settlement.core.acceptance_rows import Acceptance
    from settlement.store.database import Database, Tx


def of_deal(db: Database, deal_id: str) -> dict[str, Any]:
    """The deal's review, or null; raises DealNotFound."""

    def read(tx: Tx) -> Acceptance | None:
        get_deal(tx, deal_id)
        return rows.acceptance_of(tx, deal_id)

    found = db.read(read)
    return {"deal_id": deal_id, "acceptance": None if found is None else acceptance_view(found)}


def deal_of(db: Database, acceptance_id: str) -> str:
    """The deal of a review; raises AcceptanceNotFound."""
    found = db.read(lambda tx: rows.deal_of(tx, acceptance_id))
    if found is None:
        raise AcceptanceNotFound(acceptance_id=acceptance_id)
    return found
