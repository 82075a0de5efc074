"""Closes and bids racing over four processes and two servers (report, row 5).

Whatever the interleaving: one award, and each bid is either in, known to the close and counted, or
refused and nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.once import one_original
from tests.support.callers import read, run_many, split_calls

if TYPE_CHECKING:
    from tests.chaos.site import Site

pytestmark = pytest.mark.chaos
CALLS = 50
WISH = {"client_id": "client", "capability": "marketing", "budget_usd": 100, "deadline_hours": 24}


def intent(site: Site) -> dict[str, Any]:
    return site.post("/protocol/intents", WISH)


def bid(agent: str, price: float) -> dict[str, Any]:
    return {"agent_id": agent, "price_usd": price, "delivery_hours": 12}


def test_fifty_closes_award_once(site: Site) -> None:
    """Catches: a close that looks before it claims, a lock that holds in one process only."""
    made = intent(site)
    path = f"/protocol/intents/{made['intent_id']}"
    for n in range(3):
        site.post(f"{path}/bids", bid(f"shop_{n}", 90 - n))
    calls = site.race(CALLS, f"{path}/close", {})
    one_original(calls)
    assert read(calls[0][-1])["winner_agent_id"] == "shop_2"
    types = [event["event_type"] for event in site.timeline(made["deal_id"])["events"]]
    assert types == [
        "INTENT_CREATED",
        *["BID_RECEIVED"] * 3,
        "INTENT_CLOSED",
        "INTENT_AWARDED",
        "BIDS_REVEALED",
    ]
    site.audit()


@pytest.mark.parametrize("n", range(3))
def test_fifty_bids_racing_the_close_are_each_in_or_out(site: Site, n: int) -> None:
    """Catches: a bid taken after the close, a bid that is answered and not counted, one that is
    refused and stored all the same, a winner who is not among those that came in."""
    made = intent(site)
    path = f"/protocol/intents/{made['intent_id']}"
    plans = [
        {**site.plan(f"{path}/bids", bid(f"shop_{k}", 50 + k)), "calls": count}
        for k, count in enumerate(split_calls(CALLS, 3))
    ]
    rows = run_many([*plans, {**site.plan(f"{path}/close", {}), "calls": 1}])
    ended = read(rows.pop()[-1])
    taken, refused = [], 0
    lost = sum("failed" in row for call in rows for row in call)
    for call in rows:
        status, body = call[-1]["status"], read(call[-1])
        if status == 200:
            taken.append((body["bid_id"], body["commitment"]))
        else:
            assert (status, body["error"]) == (409, "intent_closed")
            refused += 1
    assert len(taken) + refused == CALLS
    events = site.timeline(made["deal_id"])["events"]
    types = [event["event_type"] for event in events]
    closed = types.index("INTENT_CLOSED")
    assert types[1:closed] == ["BID_RECEIVED"] * (closed - 1), "bids, and only bids"
    assert "BID_RECEIVED" not in types[closed:]
    received = [(e["payload"]["bid_id"], e["payload"]["commitment"]) for e in events[1:closed]]
    listed = [(b["bid_id"], b["commitment"]) for b in events[closed]["payload"]["bids"]]
    assert received == listed
    assert set(taken) <= set(listed)
    assert lost or set(taken) == set(listed)
    assert ended["bid_count"] == len(listed)
    assert site.get(path)["bid_count"] == len(listed)
    if listed:
        assert ended["winner_bid_id"] in dict(listed)
    else:
        assert ended["status"] == "no_award"
    site.audit()
