"""What the calls about intents answer; see `promises.py`.

Guarantees: no member of an open intent's answer but its client's own budget can hold a price.
Does not: list every member; more may be there.

Contract §2.11. Change colour: green to add, red to take away.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from settlement.edge.http.promises import Answer, Money, Once


class IntentMade(Money):
    idempotent: bool = msgspec.field(name="_idempotent")
    intent_id: str
    deal_id: str
    status: str
    budget_usd: Decimal
    deadline_hours: int
    closes_at: str


class BidTaken(Once):
    intent_id: str
    deal_id: str
    bid_id: str
    agent_id: str
    commitment: str
    nonce: str
    received_at: str


class IntentShown(Money):
    intent_id: str
    deal_id: str
    status: str
    client_id: str
    capability: str
    deadline_hours: int
    closes_at: str
    bids: str
    bid_count: int
    winner_agent_id: str | None
    winner_bid_id: str | None
    winning_price: Decimal | None


class Winner(msgspec.Struct, kw_only=True):
    agent_id: str
    bid_id: str
    price_usd: Decimal
    delivery_hours: int


class IntentEnded(Money):
    idempotent: bool = msgspec.field(name="_idempotent")
    intent_id: str
    deal_id: str
    status: str
    bid_count: int | None
    winner_agent_id: str | None
    winner_bid_id: str | None
    winning_price: Decimal | None
    winner: Winner | None
    reveal_hash: str | None
    idempotency_key: str


class BidsRevealed(Answer):
    intent_id: str
    deal_id: str
    status: str
    complete: bool
    reveal: dict[str, Any]
    events: list[dict[str, Any]]
