"""Intents and sealed bids for tests that need them as rows, and one as its document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from settlement.core.bids import BidTerms, OpenedBid, commitment_of
from settlement.core.intent_rows import Bid, Intent, IntentState
from settlement.sealing import seal_bid

if TYPE_CHECKING:
    from settlement.sealing import SealKey

NOW = "2026-01-01T00:00:00.000000Z"
LATER = "2026-01-02T00:00:00.000000Z"


def intent(key: SealKey | None, n: int = 1, **changes: Any) -> Intent:
    """An open intent, sealed under the key."""
    intent_id = f"intent_{n:032x}"
    made = key.new_intent_key(intent_id) if key is not None else None
    given: dict[str, Any] = {
        "intent_id": intent_id,
        "deal_id": f"deal_{n:032x}",
        "state": IntentState.OPEN,
        "open": 1,
        "client_id": None,
        "client_label": "client",
        "capability": "marketing",
        "requirements": "null",
        "asset": "USD/2",
        "budget_minor": 10_000,
        "budget_nonce": "0" * 64,
        "deadline_hours": 24,
        "public_key": made.public_key if made else "",
        "sealed_key": made.sealed_key if made else "",
        "seal_key_id": made.seal_key_id if made else "",
        "created_at": NOW,
        "closes_at": LATER,
        "closed_at": None,
        "winner_bid_id": None,
        "winner_agent_id": None,
        "winning_minor": None,
        "due_at": None,
    }
    return Intent(**{**given, **changes})


def sealed_bid(made: Intent, n: int, **terms: Any) -> Bid:
    """The n-th bid on an intent, by an agent of its own."""
    given: dict[str, Any] = {
        "asset": made.asset,
        "delivery_hours": 12,
        "message": "",
        "price_minor": 8_000,
    }
    opened = OpenedBid(terms=BidTerms(**{**given, **terms}), nonce=bytes([n]) * 32)
    bid_id, agent_id = f"bid_{n:032x}", f"bidder_{n}"
    return Bid(
        bid_id=bid_id,
        intent_id=made.intent_id,
        n=n,
        agent_id=agent_id,
        bidder_id=None,
        commitment=commitment_of(made.intent_id, agent_id, opened.terms, opened.nonce),
        ciphertext=seal_bid(made, bid_id, agent_id, opened),
        ocs_hundredths=5_000,
        sla_ppm=500_000,
        created_at=NOW,
    )


def plain_bid(made: Intent, n: int) -> Bid:
    """The n-th bid on an intent as a row that nobody will open."""
    return Bid(
        bid_id=f"bid_{n:032x}",
        intent_id=made.intent_id,
        n=n,
        agent_id=f"bidder_{n}",
        bidder_id=None,
        commitment="0" * 64,
        ciphertext="00",
        ocs_hundredths=5_000,
        sla_ppm=500_000,
        created_at=NOW,
    )
