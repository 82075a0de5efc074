"""A line of a rail's statement: one thing that the rail says it moved.

For: the import of statements, and the audit, which holds them against the books.
Guarantees: an amount is positive and in minor units; the kind says which way it went.
Does not: judge whether the books have it.

Spec §16.3 (32). Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Money that a rail took in for us; every other kind of line is money that left.
CHARGE: Final = "charge"
REFUND: Final = "refund"
PAYOUT: Final = "payout"
CHARGEBACK: Final = "chargeback"
LINE_KINDS: Final = (CHARGE, REFUND, PAYOUT, CHARGEBACK)

#: Where a statement came from. A rail's own list has what the rail was asked for by us; a file that
#: the provider exports has everything it moved, also what we only heard of.
FROM_RAIL: Final = "rail"
FROM_FILE: Final = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class RailLine:
    """`line_id` is unique at its rail; `rail_ref` is the name under which our books know it."""

    line_id: str
    kind: str
    asset: str
    amount_minor: int
    rail_ref: str
    obligation_key: str | None = None
    occurred_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RailStatement:
    """One import, and the time of which it says everything."""

    statement_id: str
    rail: str
    source: str
    starts_at: str
    ends_at: str
    line_count: int
    digest: str
    imported_at: str


def signed(kind: str, amount_minor: int) -> int:
    """What a line adds to the money at the rail."""
    return amount_minor if kind == CHARGE else -amount_minor
