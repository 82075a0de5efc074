"""What the service must not tell: who trades what, what a sealed bid says, what a quote is.

Rows 16 to 19 of the readiness report, over the wire; with AME_BASE, of the service named. That the
suppression itself holds against an adversary is shown in tests/core/test_feed.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from settlement.core import feed

if TYPE_CHECKING:
    from tests.conformance.served import Served

PUBLIC = "/protocol/econ/feed"
PREMIUM = "/protocol/econ/feed/premium"


def test_the_guards_of_the_feed_are_at_least_the_published_ones() -> None:
    """Catches a build with a weaker constant."""
    assert feed.K_ANONYMITY_THRESHOLD >= 5
    assert feed.ECON_FEED_DELAY_SECONDS >= 3600
    assert feed.ROUNDING_PRECISION == 0


def test_the_public_feed_says_its_guards_and_shows_no_cents(served: Served) -> None:
    """Catches exact sums or counts in public."""
    found = served.ok("GET", PUBLIC)
    assert found["feed_type"] == "public"
    assert found["k_anonymity_threshold"] >= 5
    assert found["delay_applied_seconds"] >= 3600
    for cell in found["verticals"].values():
        assert cell["gmv_usd"] == int(cell["gmv_usd"])
        assert "deal_count" not in cell


def test_the_premium_feed_needs_its_scope_and_keeps_the_delay(served: Served) -> None:
    """Catches a premium feed open to all, or one that undoes the public one's protection."""
    owner = served.party("reader")
    assert served.call("GET", PREMIUM)[0] == 401
    made = served.ok("POST", "/protocol/keys", {"name": "narrow", "scopes": ["read"]}, owner)
    narrow = type(owner)(owner.agent_id, made["api_key"])
    assert served.call("GET", PREMIUM, by=narrow)[0] == 403
    found = served.ok("GET", PREMIUM, by=owner)
    assert found["delay_applied_seconds"] >= 3600
    assert found["k_anonymity_threshold"] >= 5


@pytest.mark.parametrize("keyed", [True, False])
def test_a_bid_says_nothing_until_the_close(served: Served, *, keyed: bool) -> None:
    """Catches a price in any page, event or answer to others before the intent is closed."""
    client, bidder, rival = (served.party(name) for name in ("client", "bidder", "rival"))
    wish = {"capability": "marketing", "budget_usd": "9999.00", "deadline_hours": 24}
    made = served.ok("POST", "/protocol/intents", wish, client if keyed else None)
    one = f"/protocol/intents/{made['intent_id']}"
    for agent, price in ((bidder, "7351.29"), (rival, "8462.37")):
        bid = {"agent_id": agent.agent_id, "price_usd": price, "delivery_hours": 12}
        served.ok("POST", f"{one}/bids", bid, agent)
    timeline = f"/protocol/deals/{made['deal_id']}/timeline"
    for by in (None, client, rival):
        shown = served.ok("GET", one, by=by)
        assert shown["bids"] == "sealed"
        assert shown["bid_count"] == 2
        seen = json.dumps([shown, served.ok("GET", timeline)])
        for price in ("7351.29", "735129", "8462.37", "846237"):
            assert price not in seen
    placed = [e for e in served.ok("GET", timeline)["events"] if e["event_type"] == "BID_RECEIVED"]
    assert [e["amount_minor"] or 0 for e in placed] == [0, 0]
    assert all(e["payload"]["commitment"] for e in placed)
    closed = served.ok("POST", f"{one}/close", {}, client if keyed else None)
    assert closed["winning_price"] == 7351.29
    public = json.dumps([served.ok("GET", one), served.ok("GET", timeline)])
    assert "8462.37" not in public
    assert "846237" not in public, "a losing price is its bidder's and the client's"


def test_a_quote_is_in_no_answer_but_the_packs(served: Served) -> None:
    """Catches the capability to approve, shown to whoever looks."""
    seller = served.party("seller")
    pack = served.pack(seller)
    deal = pack["deal_id"]
    for path in (f"/protocol/deals/{deal}/timeline", f"/protocol/proofs/{deal}/export"):
        assert pack["quote_id"] not in json.dumps(served.ok("GET", path))


def test_what_is_a_partys_does_not_exist_for_a_stranger(served: Served) -> None:
    """Catches a 403, which says that the deal is there."""
    deal = served.pack(served.party("seller"))["deal_id"]
    stranger = served.party("stranger")
    for page in ("replay", "ledger"):
        assert served.call("GET", f"/protocol/deals/{deal}/{page}", by=stranger)[0] == 404
