"""The exchange over HTTP on both databases: publish, bid under seal, close, go on to be paid."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.award_check import check_award
from settlement.core.canonical import load_json
from settlement.core.operations.place_bid import BIDS_OF_ONE_MAX
from settlement.service.exchange import recompute
from tests.edge.test_transport import problem

if TYPE_CHECKING:
    from tests.edge.world import World

WISH = {"client_id": "client", "capability": "marketing", "budget_usd": 100, "deadline_hours": 24}


def intent(live: World, who: str | None = None, **members: Any) -> dict[str, Any]:
    body = {**WISH, **members}
    if who is not None:
        del body["client_id"]
    return live.ok("POST", "/protocol/intents", body, who=who)


def bid(
    live: World,
    made: dict[str, Any],
    agent: str,
    price: object,
    who: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    headers = more.pop("headers", None)
    body = {"agent_id": agent, "price_usd": price, "delivery_hours": 12, **more}
    path = f"/protocol/intents/{made['intent_id']}/bids"
    return live.ok("POST", path, body, who=who, headers=headers)


def close(live: World, made: dict[str, Any], who: str | None = None) -> dict[str, Any]:
    return live.ok("POST", f"/protocol/intents/{made['intent_id']}/close", {}, who=who)


def types(live: World, deal_id: str) -> list[str]:
    events = live.ok("GET", f"/protocol/deals/{deal_id}/timeline")["events"]
    return [event["event_type"] for event in events]


def test_an_intent_is_bid_on_awarded_proven_approved_and_settled_at_the_winning_price(
    either: World,
) -> None:
    """The whole road of a keyed intent; catches an award that the deal does not know of."""
    seller, stranger = either.agents["seller"], either.agents["stranger"]
    made = intent(either, "buyer", requirements=["logo", {"pages": 3, "weight": 1.5}])
    assert made["status"] == "open"
    assert made["budget_usd"] == 100
    assert made["client_id"] == either.agents["buyer"].agent_id
    dear = bid(either, made, seller.agent_id, 91, "seller", message="first thought")
    mine = bid(either, made, seller.agent_id, "83.17", "seller")
    other = bid(either, made, stranger.agent_id, 95, "stranger")
    assert len({dear["bid_id"], mine["bid_id"], other["bid_id"]}) == 3

    ended = close(either, made, "buyer")
    assert ended["status"] == "awarded"
    assert ended["_idempotent"] is False
    assert ended["winner"]["price_usd"] == 83.17
    assert ended["winner"]["agent_id"] == ended["winner_agent_id"] == seller.agent_id
    assert ended["winner_bid_id"] == mine["bid_id"]
    assert ended["bid_count"] == 3
    again = close(either, made, "buyer")
    marks = ("_idempotent", "_original_key", "_original_at")
    assert again["_idempotent"] is True
    assert {k: v for k, v in again.items() if k not in marks} == {
        k: v for k, v in ended.items() if k not in marks
    }
    shown = either.ok("GET", f"/protocol/intents/{made['intent_id']}")
    assert (shown["status"], shown["winning_price"]) == ("awarded", 83.17)

    pack = either.proof("seller", deal_id=made["deal_id"], price=999)
    assert pack["estimated_price"] == 83.17, "the winning bid is the price, whatever is asked"
    either.go(pack)
    settled = either.ok("POST", "/protocol/settle", {"deal_id": made["deal_id"]}, who="seller")
    assert settled["gross"] == 83.17
    chain = types(either, made["deal_id"])
    assert chain[:8] == [
        "INTENT_CREATED",
        *["BID_RECEIVED"] * 3,
        "INTENT_CLOSED",
        "INTENT_AWARDED",
        "BIDS_REVEALED",
        "PROOF_READY",
    ]
    winner = recompute(either.services.db, made["intent_id"])
    assert winner is not None
    assert winner.bid_id == mine["bid_id"]


def test_an_open_intent_shows_its_count_and_no_price(either: World) -> None:
    made = intent(either)
    for n, price in enumerate((61.23, 62.34)):
        bid(either, made, f"shop_{n}", price)
    shown = either.ok("GET", f"/protocol/intents/{made['intent_id']}")
    assert shown["bids"] == "sealed"
    assert shown["bid_count"] == 2
    assert shown["winner_agent_id"] is None
    assert "budget_usd" not in shown
    timeline = either.ok("GET", f"/protocol/deals/{made['deal_id']}/timeline")
    received = [e for e in timeline["events"] if e["event_type"] == "BID_RECEIVED"]
    assert [event["amount"] for event in received] == [0, 0]
    assert set(received[0]["payload"]) == {
        "intent_id",
        "bid_id",
        "agent_id",
        "commitment",
        "authority",
    }
    text = json.dumps([shown, timeline])
    assert "61.23" not in text
    # Not as a part of a hash, which holds any four digits now and then.
    assert re.search(r"(?<![0-9a-f])6123(?![0-9a-f])", text) is None


def test_the_budget_is_its_clients_own(either: World) -> None:
    made = intent(either, "buyer")
    path = f"/protocol/intents/{made['intent_id']}"
    assert either.ok("GET", path, who="buyer")["budget_usd"] == 100
    assert "budget_usd" not in either.ok("GET", path, who="seller")
    assert "budget_usd" not in either.ok("GET", path)


def test_a_bid_after_the_close_is_refused(either: World) -> None:
    made = intent(either)
    bid(either, made, "shop_1", 50)
    close(either, made)
    body = {"agent_id": "shop_2", "price_usd": 1, "delivery_hours": 1}
    refused = either.call("POST", f"/protocol/intents/{made['intent_id']}/bids", body)
    assert problem(refused, 409, "intent_closed")["retry"] == "never"


def test_one_agent_does_not_fill_an_intent(either: World) -> None:
    """Catches: an intent with no room left for anybody but the agent that flooded it."""
    made = intent(either, "buyer")
    seller, stranger = (either.agents[name].agent_id for name in ("seller", "stranger"))
    for _ in range(BIDS_OF_ONE_MAX):
        bid(either, made, seller, 100, "seller")
    body = {"agent_id": seller, "price_usd": 1, "delivery_hours": 1}
    path = f"/protocol/intents/{made['intent_id']}/bids"
    problem(either.call("POST", path, body, who="seller"), 409, "bids_spent")
    bid(either, made, stranger, 50, "stranger")
    assert close(either, made, "buyer")["winner_agent_id"] == stranger


def test_no_eligible_bid_is_no_award(either: World) -> None:
    made = intent(either)
    bid(either, made, "shop_1", 101)
    bid(either, made, "shop_2", 10, delivery_hours=25)
    ended = close(either, made)
    assert (ended["status"], ended["winner"], ended["winning_price"]) == ("no_award", None, None)
    assert types(either, made["deal_id"])[-2:] == ["INTENT_CLOSED", "BIDS_REVEALED"]
    empty = intent(either)
    assert close(either, empty)["status"] == "no_award"


def test_on_a_keyed_intent_a_bid_needs_its_bidders_key_and_a_close_its_clients(
    either: World,
) -> None:
    made = intent(either, "buyer")
    seller = either.agents["seller"].agent_id
    body = {"agent_id": seller, "price_usd": 10, "delivery_hours": 1}
    bids, end = (f"/protocol/intents/{made['intent_id']}/{verb}" for verb in ("bids", "close"))
    problem(either.call("POST", bids, body), 401, "key_required")
    problem(either.call("POST", bids, body, who="stranger"), 403, "actor_mismatch")
    own = {**body, "agent_id": either.agents["buyer"].agent_id}
    problem(either.call("POST", bids, own, who="buyer"), 403, "party_mismatch")
    problem(either.call("POST", end, {}), 401, "key_required")
    problem(either.call("POST", end, {}, who="seller"), 403, "party_mismatch")
    either.ok("POST", bids, body, who="seller")
    assert close(either, made, "operator")["winner_agent_id"] == seller


def test_a_bid_repeated_under_its_key_is_the_same_bid_and_another_one_is_refused(
    either: World,
) -> None:
    """Catches a random nonce (a repeat would be a second bid) and a key that is not looked at."""
    made = intent(either, "buyer")
    seller = either.agents["seller"].agent_id
    headers = {"Idempotency-Key": f"bid-{made['intent_id']}"}
    first = bid(either, made, seller, 70, "seller", headers=headers)
    again = bid(either, made, seller, "70.00", "seller", headers=headers)
    names = ("bid_id", "commitment", "nonce", "received_at")
    assert [again[name] for name in names] == [first[name] for name in names]
    assert again["_idempotent"] is True
    body = {"agent_id": seller, "price_usd": 71, "delivery_hours": 12}
    path = f"/protocol/intents/{made['intent_id']}/bids"
    refused = either.call("POST", path, body, who="seller", headers=headers)
    assert problem(refused, 422, "idempotency_mismatch")["field"] == "commitment"
    assert either.ok("GET", f"/protocol/intents/{made['intent_id']}")["bid_count"] == 1


def test_a_reveal_is_the_clients_and_each_losers_own(either: World) -> None:
    made = intent(either, "buyer")
    mine = bid(either, made, either.agents["seller"].agent_id, 70, "seller")
    lost = bid(either, made, either.agents["stranger"].agent_id, 80, "stranger", message="secret")
    path = f"/protocol/intents/{made['intent_id']}/reveal"
    for who in ("buyer", "seller", "operator"):
        problem(either.call("GET", path, who=who), 404, "intent_not_found")
    close(either, made, "buyer")
    whole = either.ok("GET", path, who="buyer")
    assert [one["bid_id"] for one in whole["reveal"]["bids"]] == [mine["bid_id"], lost["bid_id"]]
    assert [one["nonce"] for one in whole["reveal"]["bids"]] == [mine["nonce"], lost["nonce"]]
    assert whole["complete"] is True
    assert either.ok("GET", path, who="operator") == whole
    part = either.ok("GET", path, who="stranger")
    assert [one["message"] for one in part["reveal"]["bids"]] == ["secret"]
    assert "budget_minor" not in part["reveal"]
    assert part["complete"] is False
    either.register("nobody")
    problem(either.call("GET", path, who="nobody"), 404, "intent_not_found")
    problem(either.call("GET", path), 401, "key_required")


def test_the_clients_reveal_proves_the_award_offline(either: World) -> None:
    made = intent(either, "buyer")
    for name, price in (("seller", 70), ("stranger", 69.5), ("seller", 72)):
        bid(either, made, either.agents[name].agent_id, price, name)
    close(either, made, "buyer")
    path = f"/protocol/intents/{made['intent_id']}/reveal"
    document = load_json(either.call("GET", path, who="buyer").text)
    assert isinstance(document, dict)
    bundle = load_json(either.call("GET", f"/protocol/proofs/{made['deal_id']}/export").text)
    assert isinstance(bundle, dict)
    events = bundle["events"]
    assert isinstance(events, list)
    report = check_award(document, events)
    assert report.verified, report.document()
    assert report.bid_count == 3


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({**WISH, "deadline_hours": 0}, "field_invalid", "deadline_hours"),
        ({**WISH, "deadline_hours": 8_761}, "field_invalid", "deadline_hours"),
        ({**WISH, "budget_usd": 0}, "amount_not_positive", "budget_usd"),
        ({**WISH, "capability": "x" * 201}, "field_invalid", "capability"),
        ({**WISH, "requirements": "x" * 20_001}, "field_invalid", "requirements"),
    ],
)
def test_an_intent_out_of_range_is_refused(
    quiet: World, body: dict[str, Any], code: str, field: str
) -> None:
    assert problem(quiet.call("POST", "/protocol/intents", body), 422, code)["field"] == field


def test_a_proof_pack_waits_for_the_award(either: World) -> None:
    """Catches a way past the bids: a pack at any price on the deal of an open intent."""
    made = intent(either)
    body = {"agent_username": "shop_1", "deal_id": made["deal_id"], "price": 1}
    refused = either.call("POST", "/protocol/proof-pack", body)
    problem(refused, 409, "award_required")
    bid(either, made, "shop_1", 42)
    close(either, made)
    stranger = {**body, "agent_username": "shop_2"}
    problem(either.call("POST", "/protocol/proof-pack", stranger), 403, "party_mismatch")
    assert either.ok("POST", "/protocol/proof-pack", body)["estimated_price"] == 42


def test_live_asks_for_keys_and_without_a_seal_key_takes_no_bids(live_mode: World) -> None:
    """Contract §0.1 and §0.2; a live server never makes a seal key of its own."""
    problem(live_mode.call("POST", "/protocol/intents", WISH), 401, "key_required")
    made = intent(live_mode, "buyer")
    body = {"price_usd": 10, "delivery_hours": 1}
    path = f"/protocol/intents/{made['intent_id']}/bids"
    problem(live_mode.call("POST", path, body), 401, "key_required")
    refused = problem(live_mode.call("POST", path, body, who="seller"), 503, "seal_key_missing")
    assert "SETTLEMENT_SEAL_KEY" in refused["detail"]
    assert live_mode.ok("GET", f"/protocol/intents/{made['intent_id']}")["bid_count"] == 0
    assert not live_mode.services.settings.seal_key_file.exists()
    assert close(live_mode, made, "buyer")["status"] == "no_award"
