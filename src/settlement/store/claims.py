"""Idempotency claims for those who ask what became of a call.

Guarantees: found by key through an index; counts stop at a limit, so no answer reads a history.
Does not: decide who may see a claim or its outcome.

Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.rows import Claim

if TYPE_CHECKING:
    from settlement.store.database import Tx

COUNTED_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEffect:
    """What a claim asked of a rail, and until when a worker holds it."""

    obligation_key: str
    state: str
    rail: str
    rail_ref: str | None
    asked_at: str | None
    fence: int
    lease_expires_us: int | None
    job_status: str | None


def claims_of_key(tx: Tx, key: str) -> list[Claim]:
    """Every claim under this key, oldest first."""
    return [Claim(**row) for row in tx.all("claims_by_key", key=key)]


def find_claim(tx: Tx, scope: str, operation: str, key: str) -> Claim | None:
    """One claim by its primary key."""
    row = tx.maybe("claims_get", scope=scope, operation=operation, key=key)
    return Claim(**row) if row is not None else None


def find_effect(tx: Tx, claim: Claim) -> ClaimEffect | None:
    """The claim's latest effect."""
    row = tx.maybe("claims_effect", deal_id=claim.deal_id, operation=claim.operation, key=claim.key)
    return ClaimEffect(**row) if row is not None else None


def count_known(tx: Tx) -> int:
    """How many claims there are, up to COUNTED_MAX."""
    return int(tx.one("claims_count", limit=COUNTED_MAX)["known"])


def count_running(tx: Tx) -> int:
    """How many wait for a rail, up to COUNTED_MAX."""
    return int(tx.one("claims_running", limit=COUNTED_MAX)["running"])
