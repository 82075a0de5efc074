"""Reviews as anybody may read them: the one a deal has, and the deal of one.

Guarantees: both go by key.
Does not: lock or decide.

Change colour: amber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.acceptance_rows import Acceptance

if TYPE_CHECKING:
    from settlement.store.database import Tx


def acceptance_of(tx: Tx, deal_id: str) -> Acceptance | None:
    """The review a deal has now."""
    row = tx.maybe("acceptance_of_deal", deal_id=deal_id)
    return None if row is None else Acceptance(**row)


def deal_of(tx: Tx, acceptance_id: str) -> str | None:
    """The deal of a review; it never changes."""
    row = tx.maybe("acceptance_deal", acceptance_id=acceptance_id)
    return None if row is None else str(row["deal_id"])
