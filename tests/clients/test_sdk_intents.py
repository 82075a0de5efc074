"""The intent exchange of contract §2.11 through the SDK, which sends no key on these calls.

The asynchronous SDK has no methods for it; its own transport sends the same requests.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aigentsy.client import AsyncAiGentsyClient

from tests.clients.sdk import AsyncSdk, SyncSdk
from tests.support.wire import NUMBER, members

if TYPE_CHECKING:
    from tests.support.server import Server

pytestmark = pytest.mark.clients


def create(sdk: SyncSdk | AsyncSdk, client: str, budget: float = 100.0, **more: Any) -> Any:
    if isinstance(sdk, SyncSdk):
        return sdk.ok("create_intent", client, "marketing", budget, **more)
    wish = {"client_id": client, "capability": "marketing", "budget_usd": budget, **more}
    return sdk.ok("_post", "/protocol/intents", {"deadline_hours": 24, **wish})


def bid(sdk: SyncSdk | AsyncSdk, intent: str, agent: str, price: float, hours: int) -> Any:
    if isinstance(sdk, SyncSdk):
        return sdk.ok("submit_bid", intent, agent, price, hours, "I can do that")
    body = {"agent_id": agent, "price_usd": price, "delivery_hours": hours, "message": ""}
    return sdk.ok("_post", f"/protocol/intents/{intent}/bids", body)


def get(sdk: SyncSdk | AsyncSdk, intent: str) -> Any:
    if isinstance(sdk, SyncSdk):
        return sdk.ok("get_intent", intent)
    return sdk.ok("_get", f"/protocol/intents/{intent}")


def close(sdk: SyncSdk | AsyncSdk, intent: str) -> Any:
    if isinstance(sdk, SyncSdk):
        return sdk.ok("close_intent", intent)
    return sdk.ok("_post", f"/protocol/intents/{intent}/close", {})


def test_an_intent_goes_its_way_and_is_settled_at_the_winning_price(
    either_sdk: SyncSdk | AsyncSdk, server: Server
) -> None:
    """Catches: a price before the close, another winner the second time, a deal that the award does
    not reach, an agent's higher price that wins."""
    sdk = either_sdk
    seller = sdk.registered()
    made = create(sdk, "some_client", requirements="a logo")
    members(made, intent_id=str, deal_id=str, closes_at=str)
    assert made["status"] == "open"
    intent, deal = made["intent_id"], made["deal_id"]
    for agent, price, hours in (("never_registered", 64.99, 20), (seller, 61.37, 20)):
        taken = bid(sdk, intent, agent, price, hours)
        members(taken, bid_id=str, commitment=str, nonce=str)
    shown = get(sdk, intent)
    assert (shown["bids"], shown["bid_count"], shown["status"]) == ("sealed", 2, "open")
    received = [
        event
        for event in sdk.ok("get_timeline", deal)["events"]
        if event["event_type"] == "BID_RECEIVED"
    ]
    assert [event["amount"] for event in received] == [0, 0]
    public = json.dumps([shown, received])
    assert not any(text in public for text in ("64.99", "61.37", "6499", "6137"))

    ended = close(sdk, intent)
    members(ended, status=str, winner_agent_id=str, winner_bid_id=str, winner=dict)
    members(ended["winner"], agent_id=str, bid_id=str, price_usd=NUMBER)
    assert ended["winner_agent_id"] == seller
    assert ended["winner"]["price_usd"] == 61.37
    assert close(sdk, intent)["winner_bid_id"] == ended["winner_bid_id"]
    after = get(sdk, intent)
    assert (after["status"], after["winner_agent_id"]) == ("awarded", seller)
    assert after["winning_price"] == 61.37

    pack = sdk.ok("create_proof_pack", seller, deal_id=deal)
    assert pack["estimated_price"] == 61.37
    sdk.ok("go", deal, pack["quote_id"], pack["scope_lock_hash"])
    settled = sdk.ok("settle", deal, 61.37, seller, "some_client")
    assert settled["gross"] == 61.37
    server.deployment.assert_audit_is_clean()


def test_a_bid_after_the_close_is_refused(sdk: SyncSdk) -> None:
    made = create(sdk, "some_client")
    close(sdk, made["intent_id"])
    with pytest.raises(httpx.HTTPStatusError) as caught:
        sdk.call("submit_bid", made["intent_id"], "late", 1.0, 1)
    answer = caught.value.response
    assert (answer.status_code, answer.json()["error"]) == (409, "intent_closed")


def test_between_equal_agents_the_cheaper_and_faster_bid_wins(sdk: SyncSdk) -> None:
    made = create(sdk, "some_client")
    for agent, price, hours in (("a", 50.0, 10), ("b", 49.0, 9), ("c", 51.0, 11)):
        bid(sdk, made["intent_id"], agent, price, hours)
    assert close(sdk, made["intent_id"])["winner_agent_id"] == "b"


def test_the_asynchronous_sdk_has_no_calls_for_intents() -> None:
    """When it gets them, they belong into the test above."""
    assert not hasattr(AsyncAiGentsyClient, "create_intent")
