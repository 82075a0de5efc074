"""The row of an acceptance: one proof under review by its buyer.

For: the operations that submit and decide, and the store, which loads and writes these rows.
Guarantees: as `core/rows.py`: immutable, field names are column names. It names the scope that was
submitted, so that nobody accepts something else than what was shown.
Does not: decide anything.

Spec §4.4, contract §5.1. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PENDING: Final = "pending"
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What a deal's buyer is asked to look at, and what came of it."""

    acceptance_id: str
    deal_id: str
    downstream_action: str
    status: str  # pending | accepted | rejected
    submitted_by: str
    proof_hash: str
    scope_lock_hash: str
    review_deadline: str | None  # shown; nothing happens by itself when it passes
    reviewer_id: str | None
    reason: str | None
    checks_passed: str  # JSON list
    checks_failed: str  # JSON list
    created_at: str
    decided_at: str | None
