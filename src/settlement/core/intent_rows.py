"""The rows of the exchange, and an intent together with the count of its bids.

For: the operations of the exchange, the store and the audit; field names are column names.
Guarantees: immutable, as `core/rows.py`. What a bid row holds in clear is what its event tells
anyway; price, hours and message stand in `BidReveal` only, which exists from the close on.
Does not: know SQL or keys.
Spec §13. Change colour: red (a field here is a column in two databases).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class IntentState(StrEnum):
    """What is stored. `closing`, between its time and its close, is only shown."""

    OPEN = "open"
    AWARDED = "awarded"
    NO_AWARD = "no_award"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    intent_id: str
    deal_id: str
    state: IntentState
    open: int  # 1: made without a key, anyone may bid and close
    client_id: str | None  # the agent whose key made it
    client_label: str
    capability: str
    requirements: str  # JSON
    asset: str
    budget_minor: int
    budget_nonce: str  # hex; opens the budget's commitment once all is revealed
    deadline_hours: int
    public_key: str  # hex; bids are sealed to it; "" when there was no seal key
    sealed_key: str  # hex; its private half, wrapped
    seal_key_id: str  # which seal key wraps it
    created_at: str
    closes_at: str
    closed_at: str | None
    winner_bid_id: str | None
    winner_agent_id: str | None
    winning_minor: int | None
    due_at: str | None  # delivery is on time until then


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    bid_id: str
    intent_id: str
    n: int  # 0, 1, .. in the order of their events
    agent_id: str  # may be a label, on an open intent
    bidder_id: str | None  # the same, when it is a registered agent
    commitment: str
    ciphertext: str  # hex
    ocs_hundredths: int
    sla_ppm: int
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BidReveal:
    bid_id: str
    intent_id: str
    price_minor: int
    delivery_hours: int
    message: str
    nonce: str  # hex


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentView:
    """An intent and how many bids it has."""

    intent: Intent
    bid_count: int
