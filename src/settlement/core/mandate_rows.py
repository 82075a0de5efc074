"""The row of a mandate: what a buyer lets be approved without being asked.

For: the operations on mandates and auto-go, and the store, which loads and writes these rows.
Guarantees: as `core/rows.py`: immutable, integers in minor units, field names are column names.
What a mandate has left is no column: it is what its account can give.
Does not: judge a spend; `core/mandates.py` does.

Spec §4.7. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ACTIVE: Final = "active"
REVOKED: Final = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """A buyer's standing approval within limits."""

    mandate_id: str
    buyer_id: str
    asset: str
    max_amount_minor: int  # per deal
    allowed_verticals: str  # JSON list, sorted
    confidence_threshold: str  # decimal text, 0 to 1
    reserve_minor: int | None  # put aside when it was made; None: it moves no money
    status: str  # active | revoked
    expires_at: str | None
    created_at: str
    revoked_at: str | None
