"""Audit of the exchange: nothing told before the close, reveals, winners (checks 41 to 43).

Guarantees: what may be known of a sealed bid is listed here by name, so a member added anywhere is
a finding; commitments, the reveal's hash and the winner are computed anew from stored rows and
compared with the events and with the deal.
Does not: open ciphertexts: what it needs, the close has revealed.

Spec §13, §16.3. Change colour: green.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from settlement.core.auction import Candidate, Wanted, find_winner
from settlement.core.award import reveal_hash
from settlement.core.bids import (
    BidTerms,
    BidUnreadable,
    budget_commitment,
    commitment_of,
    nonce_from,
)
from settlement.service.audit_base import Check

if TYPE_CHECKING:
    from settlement.core.canonical import Json
    from settlement.service.audit_base import AuditContext, Outcome
    from settlement.store.audit import AuditReader

_Row = dict[str, Any]
#: All that the events before a close may say.
_SAID: Final = {
    "INTENT_CREATED": frozenset(
        {
            "asset",
            "authority",
            "budget_commitment",
            "capability_hash",
            "client",
            "closes_at",
            "deadline_hours",
            "intent_id",
            "requirements_hash",
        }
    ),
    "BID_RECEIVED": frozenset({"agent_id", "authority", "bid_id", "commitment", "intent_id"}),
}
#: All that a claim may remember of a bid: no nonce, which would open its commitment.
_REMEMBERED: Final = frozenset({"agent_id", "commitment", "intent_id"})
_ANSWERED: Final = frozenset({*_REMEMBERED, "bid_id", "deal_id", "received_at", "status"})
_ENDED: Final = frozenset({"awarded", "no_award"})


# --- 41: before the close ------------------------------------------------------------------------


def _sealed(reader: AuditReader, _context: AuditContext) -> Outcome:
    early = reader.first("audit_reveal_early")
    if early is not None:
        return early
    for row in reader.stream("audit_sealed_event_page", deal_id="", version=-1):
        if (why := _told(row)) is not None:
            return {"deal_id": row["deal_id"], "event_id": row["event_id"], "why": why}
    for row in reader.stream("audit_bid_claim_page", scope="", key=""):
        outcome = json.loads(row["outcome"] or "{}").get("result", {})
        if not (json.loads(row["args"]).keys() <= _REMEMBERED and outcome.keys() <= _ANSWERED):
            return {"key": row["key"], "why": "the claim of a bid remembers more than it may"}
    return None


def _told(row: _Row) -> str | None:
    if row["amount_minor"]:
        return "it has an amount before its intent is closed"
    more = json.loads(row["payload"]).keys() - _SAID[row["event_type"]]
    return f"its payload tells {sorted(more)[0]}, which is sealed" if more else None


# --- 42: reveals ---------------------------------------------------------------------------------


def _reveals(reader: AuditReader, _context: AuditContext) -> Outcome:
    for intent in reader.stream("audit_intent_page", intent_id=""):
        bids = reader.all("audit_intent_bids", intent_id=intent["intent_id"])
        events = _Events(reader.all("audit_intent_events", deal_id=intent["deal_id"]))
        why = _list_fault(intent, bids, events)
        if why is None and intent["state"] in _ENDED:
            why = _reveal_fault(intent, bids, events)
        if why is not None:
            return {"intent_id": intent["intent_id"], "bids": len(bids), "why": why}
    return None


class _Events:
    """The exchange's events of one deal, by type."""

    def __init__(self, rows: list[_Row]) -> None:
        self._found: dict[str, list[_Row]] = {}
        self.order = [row["event_type"] for row in rows]
        for row in rows:
            self._found.setdefault(row["event_type"], []).append(json.loads(row["payload"]))

    def all(self, event_type: str) -> list[_Row]:
        return self._found.get(event_type, [])

    def one(self, event_type: str) -> _Row:
        """The only one of its type; an empty one stands for none or several."""
        found = self.all(event_type)
        return found[0] if len(found) == 1 else {}


def _list_fault(intent: _Row, bids: list[_Row], events: _Events) -> str | None:
    if [bid["n"] for bid in bids] != list(range(len(bids))):
        return "its bids are not numbered from 0"
    names = ("bid_id", "agent_id", "commitment")
    received = [tuple(bid[name] for name in names) for bid in events.all("BID_RECEIVED")]
    if received != [tuple(bid[name] for name in names) for bid in bids]:
        return "its bids are not those that events have received"
    if any(bid["created_at"] >= intent["closes_at"] for bid in bids):
        return "a bid came at or after its closing time"
    closed = events.order.index("INTENT_CLOSED") if "INTENT_CLOSED" in events.order else None
    if closed is not None and "BID_RECEIVED" in events.order[closed:]:
        return "a bid came after the close"
    if (closed is not None) != (intent["state"] in _ENDED):
        return f"it is {intent['state']}, and its events say otherwise"
    return None


def _reveal_fault(intent: _Row, bids: list[_Row], events: _Events) -> str | None:
    figures = ("bid_id", "agent_id", "commitment", "ocs_hundredths", "sla_ppm")
    listed = [{name: bid[name] for name in figures} for bid in bids]
    if events.one("INTENT_CLOSED").get("bids") != listed:
        return "the close does not list its bids with their figures"
    shown: list[Json] = []
    for bid in bids:
        why = _bid_fault(intent, bid)
        if why is not None:
            return f"bid {bid['bid_id']} {why}"
        names = ("bid_id", "agent_id", "price_minor", "delivery_hours", "message", "nonce")
        shown.append({"asset": intent["asset"], **{name: bid[name] for name in names}})
    members = ("asset", "budget_minor", "budget_nonce")
    document = {**{name: intent[name] for name in members}, "bids": shown}
    revealed = events.one("BIDS_REVEALED")
    if revealed.get("reveal_hash") != reveal_hash(intent["intent_id"], document):
        return "what is revealed does not hash to what BIDS_REVEALED says"
    return None


def _bid_fault(intent: _Row, bid: _Row) -> str | None:
    if bid["nonce"] is None:
        return "is not revealed"
    try:
        nonce = nonce_from(bid["nonce"])
    except BidUnreadable as error:
        return f"is revealed, and {error}"
    terms = BidTerms(
        asset=intent["asset"],
        delivery_hours=bid["delivery_hours"],
        message=bid["message"],
        price_minor=bid["price_minor"],
    )
    found = commitment_of(intent["intent_id"], bid["agent_id"], terms, nonce)
    return None if found == bid["commitment"] else "is revealed as another than was committed to"


# --- 43: winners ---------------------------------------------------------------------------------


def _winners(reader: AuditReader, _context: AuditContext) -> Outcome:
    for intent in reader.stream("audit_intent_page", intent_id=""):
        if intent["state"] not in _ENDED:
            continue
        bids = reader.all("audit_intent_bids", intent_id=intent["intent_id"])
        events = _Events(reader.all("audit_intent_events", deal_id=intent["deal_id"]))
        if (why := _award_fault(intent, bids, events)) is not None:
            return {"intent_id": intent["intent_id"], "why": why}
    return None


def _award_fault(intent: _Row, bids: list[_Row], events: _Events) -> str | None:
    created = events.one("INTENT_CREATED")
    budget = budget_commitment(
        intent["intent_id"],
        intent["asset"],
        intent["budget_minor"],
        bytes.fromhex(intent["budget_nonce"]),
    )
    terms = (created.get("budget_commitment"), created.get("deadline_hours"))
    if terms != (budget, intent["deadline_hours"]):
        return "budget or deadline are not those it was made with"
    winner = find_winner(
        [_candidate(bid) for bid in bids if bid["price_minor"] is not None],
        Wanted(budget_minor=intent["budget_minor"], deadline_hours=intent["deadline_hours"]),
    )
    named = (intent["winner_bid_id"], intent["winner_agent_id"], intent["winning_minor"])
    if winner is None:
        awarded = any(part is not None for part in named) or events.all("INTENT_AWARDED")
        return "no bid is eligible, and one was awarded" if awarded else None
    found = (winner.bid_id, winner.agent_id, winner.price_minor)
    if named != found:
        return f"the winner is {winner.bid_id} at {winner.price_minor}"
    event = events.one("INTENT_AWARDED")
    if (event.get("bid_id"), event.get("seller"), event.get("price_minor")) != found:
        return "INTENT_AWARDED names another winner"
    if (intent["deal_seller"], intent["deal_price_minor"]) != found[1:]:
        return "its deal has another seller or price"
    return None


def _candidate(bid: _Row) -> Candidate:
    return Candidate(
        bid_id=bid["bid_id"],
        agent_id=bid["agent_id"],
        place=bid["n"],
        price_minor=bid["price_minor"],
        delivery_hours=bid["delivery_hours"],
        ocs_hundredths=bid["ocs_hundredths"],
        sla_ppm=bid["sla_ppm"],
    )


CHECKS: Final = (
    Check(
        number=41,
        title="nothing tells a price before the close",
        run=_sealed,
        needs="intent",
    ),
    Check(
        number=42,
        title="reveals match commitments, none late",
        run=_reveals,
        needs="bid",
    ),
    Check(number=43, title="the winner recomputes", run=_winners, needs="bid"),
)
