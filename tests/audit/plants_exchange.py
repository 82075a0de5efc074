"""Violations of the exchange to plant (checks 41 to 43); see `plants.py`."""

from __future__ import annotations

from tests.audit.plants import Plant


def _plant(check: int, name: str, why: str, *statements: str) -> Plant:
    return Plant(check, name, why, statements)


_INTENT = "(SELECT i.intent_id FROM intent AS i WHERE i.deal_id = '<{}>')"

PLANTS = (
    # --- the exchange
    _plant(
        41,
        "a reveal before the close",
        "never closed",
        "INSERT INTO bid_reveal (bid_id, intent_id, price_minor, delivery_hours, message, nonce)"
        " SELECT bid_id, intent_id, 7000, 12, '', '00' FROM bid"
        f" WHERE intent_id = {_INTENT.format('wanted')}",
    ),
    _plant(
        41,
        "an amount in a bid's event",
        "amount before its intent is closed",
        "UPDATE event SET amount_minor = 7000 WHERE deal_id = '<wanted>'"
        " AND event_type = 'BID_RECEIVED'",
    ),
    _plant(
        41,
        "a price in a bid's event",
        "tells price_minor",
        """UPDATE event SET payload = replace(payload, '{', '{"price_minor": 7000, ')"""
        " WHERE deal_id = '<wanted>' AND event_type = 'BID_RECEIVED'",
    ),
    _plant(
        41,
        "a nonce in a claim",
        "remembers more",
        """UPDATE claim SET outcome = replace(outcome, '"bid_id"', '"nonce":"00","bid_id"')"""
        " WHERE operation = 'place_bid'",
    ),
    _plant(
        41,
        "a price in a claim",
        "remembers more",
        """UPDATE claim SET args = replace(args, '"commitment"', '"price_minor":1,"commitment"')"""
        " WHERE operation = 'place_bid'",
    ),
    _plant(
        42,
        "a reveal at another price",
        "another than was committed",
        "UPDATE bid_reveal SET price_minor = price_minor - 1",
    ),
    _plant(
        42,
        "a reveal that is missing",
        "is not revealed",
        f"DELETE FROM bid_reveal WHERE intent_id = {_INTENT.format('dear')}",
    ),
    _plant(
        42,
        "a bid that is missing",
        "not those that events",
        f"DELETE FROM bid WHERE n = 2 AND intent_id = {_INTENT.format('awarded')}",
    ),
    _plant(
        42,
        "a bid of nobody's event",
        "not those that events",
        "INSERT INTO bid SELECT 'bid_more', intent_id, n + 1, agent_id, bidder_id, commitment,"
        " ciphertext, ocs_hundredths, sla_ppm, created_at FROM bid"
        f" WHERE intent_id = {_INTENT.format('wanted')}",
    ),
    _plant(
        42,
        "a late bid",
        "at or after its closing time",
        f"UPDATE bid SET created_at = '9999' WHERE intent_id = {_INTENT.format('dear')}",
    ),
    _plant(
        42,
        "a figure changed after the bid",
        "does not list its bids",
        "UPDATE bid SET ocs_hundredths = ocs_hundredths + 1",
    ),
    _plant(
        42,
        "another reveal's hash",
        "does not hash to",
        'UPDATE event SET payload = replace(payload, \'"reveal_hash": "\', \'"reveal_hash": "0\')'
        " WHERE deal_id = '<awarded>' AND event_type = 'BIDS_REVEALED'",
    ),
    _plant(
        43,
        "another winner",
        "the winner is",
        "UPDATE intent SET winner_bid_id = (SELECT min(bid_id) FROM bid AS b"
        " WHERE b.intent_id = intent.intent_id) WHERE state = 'awarded'",
    ),
    _plant(
        43,
        "a higher price in the award",
        "INTENT_AWARDED names another",
        "UPDATE event SET payload = replace(payload, '\"price_minor\": 8', '\"price_minor\": 9')"
        " WHERE event_type = 'INTENT_AWARDED'",
    ),
    _plant(
        43,
        "a deal at another price",
        "another seller or price",
        "UPDATE deal SET price_minor = price_minor + 1 WHERE deal_id = '<awarded>'",
    ),
    _plant(
        43,
        "a budget moved to let a bid in",
        "not those it was made with",
        "UPDATE intent SET budget_minor = budget_minor + 1 WHERE deal_id = '<dear>'",
    ),
)
