"""Rows about money that goes back: refunds and chargebacks, disputes, and the payments they undo.

For: the operations that give money back, and the store, which loads and writes these rows.
Guarantees: as `core/rows.py`: immutable, integers in minor units, field names are column names. A
payment is no row of its own: it is read from its transfer and its event, so nothing can differ.
Does not: compute who gives what back; `operations/giving_back.py` does.

Spec §4.8, §5.4. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class RefundState(StrEnum):
    """Planned and unknown are open: the money is held until the rail has said."""

    PLANNED = "planned"
    UNKNOWN = "unknown"
    CONFIRMED = "confirmed"
    REFUSED = "refused"


class RefundKind(StrEnum):
    """Who took the money back: we gave it, or the rail took it."""

    REFUND = "refund"
    CHARGEBACK = "chargeback"


OPEN_REFUNDS: Final = frozenset({RefundState.PLANNED, RefundState.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One amount that goes back to the source of one payment."""

    refund_id: str
    deal_id: str
    kind: RefundKind
    payment_event_id: str  # the PAYMENT_AUTHORIZED it goes back from
    source: str  # charge | balance | mandate
    rail: str | None
    payment_ref: str | None  # the rail's own name of that payment
    asset: str
    amount_minor: int
    parts: str  # JSON: who bears it, see operations/giving_back.py
    holds: str  # JSON: the open holds, empty once resolved
    state: RefundState
    effect_id: str | None
    dispute_id: str | None  # the ruling that forced it
    requested_by: str
    reason_hash: str | None
    rail_ref: str | None
    refusal: str | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentIn:
    """Money that came into a deal's escrow, and where from."""

    deal_id: str
    event_id: str
    asset: str
    amount_minor: int
    debit_ref: str
    debit_class: str  # clearing | agent | mandate
    rail_ref: str | None

    @property
    def source(self) -> str:
        """The payment's source as PAYMENT_AUTHORIZED names it."""
        return {"clearing": "charge", "agent": "balance", "mandate": "mandate"}[self.debit_class]

    @property
    def rail(self) -> str | None:
        """The rail that took it; None for money that was in our books already."""
        return self.debit_ref.partition(":")[2] if self.debit_class == "clearing" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """The one dispute a deal can have."""

    dispute_id: str
    deal_id: str
    claimant_id: str
    respondent_id: str | None
    reason_hash: str | None
    status: str  # opened | resolved
    deal_state: str  # the state it was opened in: go_approved | settled
    asset: str
    amount_minor: int  # what was moved to the dispute account
    parts: str  # JSON: whose it was
    seller_ppm: int | None
    ruling_hash: str | None
    opened_at: str
    resolved_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadOutcome:
    """A deal that counts against its seller (spec §15): a dispute lost, or a refund forced."""

    deal_id: str
    agent_id: str
    asset: str
    outcome: str  # refunded | dispute_lost
    at: str
