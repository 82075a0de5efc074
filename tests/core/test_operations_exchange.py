"""Intents, bids and the close as decisions: who may, when, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.bids import BidTerms, OpenedBid, commitment_of
from settlement.core.errors import StoreCorrupt
from settlement.core.intent_rows import IntentState
from settlement.core.operations import CloseIntent, CreateIntent, PlaceBid
from settlement.core.operations.create_intent import SealedKey, deal_of
from settlement.core.operations.place_bid import BIDS_MAX, BIDS_OF_ONE_MAX
from settlement.core.principal import ANONYMOUS, SYSTEM
from tests.support.world import (
    BUYER,
    HELPER,
    OPERATOR,
    SELLER,
    STRANGER,
    key_of,
    new_world,
    refuses,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.core.intent_rows import Bid, Intent
    from settlement.core.principal import Principal
    from tests.support.world import World

INTENT = "intent_" + "a" * 32
DEAL = deal_of(INTENT)
DAY_US = 24 * 3600 * 1_000_000


class Glass:
    """An opener for tests: what was sealed is the clear text itself."""

    def open_bids(self, intent: Intent, bids: Sequence[Bid]) -> tuple[OpenedBid, ...]:
        del intent
        return tuple(opened(json.loads(bytes.fromhex(bid.ciphertext))) for bid in bids)


def opened(members: dict[str, Any]) -> OpenedBid:
    return OpenedBid(terms=BidTerms(**members["terms"]), nonce=bytes.fromhex(members["nonce"]))


def create(world: World, principal: Principal = ANONYMOUS, **members: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "principal": principal,
        "intent_id": INTENT,
        "client_id": None,
        "capability": "marketing",
        "requirements": "null",
        "budget_minor": 10_000,
        "budget_nonce": bytes(32),
        "deadline_hours": 24,
        "seal": SealedKey(public_key="00", sealed_key="00", seal_key_id="00"),
    }
    return world.run(CreateIntent(**{**given, **members}))


def bid(
    world: World, n: int, price: int = 8_000, hours: int = 12, **members: Any
) -> dict[str, Any]:
    agent = members.pop("agent_id", f"shop_{n}")
    terms = {"asset": "USD/2", "delivery_hours": hours, "message": "", "price_minor": price}
    nonce = bytes([n]) * 32
    clear = json.dumps({"terms": terms, "nonce": nonce.hex()}).encode()
    given: dict[str, Any] = {
        "principal": ANONYMOUS,
        "intent_id": INTENT,
        "bid_id": f"bid_{n:032x}",
        "agent_id": agent,
        "commitment": commitment_of(INTENT, agent, BidTerms(**terms), nonce),  # type: ignore[arg-type]  # by name
        "ciphertext": clear.hex(),
    }
    return world.run(PlaceBid(**{**given, **members}))


def close(world: World, principal: Principal = ANONYMOUS) -> dict[str, Any]:
    return world.run(CloseIntent(principal=principal, intent_id=INTENT, opener=Glass()))


def test_an_intent_makes_its_deal_and_tells_no_budget() -> None:
    world = new_world()
    made = create(world, key_of(BUYER))
    deal = world.deals[DEAL]
    assert (deal.intent_id, deal.buyer_id, deal.open, deal.price_minor) == (INTENT, BUYER, 0, 0)
    assert made["closes_at"] == "2026-01-02T00:00:00.000000Z"
    assert world.types(DEAL) == ["INTENT_CREATED"]
    assert "10000" not in json.dumps(world.payload("INTENT_CREATED", DEAL))
    assert (DEAL, BUYER, "buyer") in world.parties


def test_the_award_gives_the_deal_seller_buyer_and_price() -> None:
    world = new_world()
    create(world, key_of(BUYER))
    bid(world, 1, 9_000, agent_id=SELLER, principal=key_of(SELLER))
    bid(world, 2, 8_000, agent_id=STRANGER, principal=key_of(STRANGER))
    ended = close(world, key_of(BUYER))
    deal = world.deals[DEAL]
    assert (deal.seller_id, deal.buyer_id, deal.price_minor) == (STRANGER, BUYER, 8_000)
    assert (DEAL, STRANGER, "seller") in world.parties
    assert ended["winner"]["price_usd_minor"] == 8_000
    assert world.types(DEAL)[-3:] == ["INTENT_CLOSED", "INTENT_AWARDED", "BIDS_REVEALED"]
    closed = world.payload("INTENT_CLOSED", DEAL)
    assert [row["bid_id"] for row in closed["bids"]] == [f"bid_{n:032x}" for n in (1, 2)]
    assert len(world.reveals) == 2
    assert world.intents[INTENT].due_at == "2026-01-01T12:00:00.000000Z"


def test_the_winner_is_paid_at_its_own_price_all_the_way() -> None:
    world = new_world()
    create(world, key_of(BUYER))
    bid(world, 1, 8_000, agent_id=SELLER, principal=key_of(SELLER))
    close(world, key_of(BUYER))
    pack = world.pack(DEAL, price_minor=1)
    assert pack["estimated_price_minor"] == 8_000
    world.go(DEAL)
    assert world.deals[DEAL].gross_minor == 8_000


def test_scores_are_those_of_the_bid_and_not_of_the_close() -> None:
    """Catches a reputation read at the close: a bidder could wait for its best day."""
    world = new_world()
    create(world)
    world.scores[SELLER, "USD/2"] = 9_000
    bid(world, 1, agent_id=SELLER)
    world.scores[SELLER, "USD/2"] = 0
    bid(world, 2)
    assert close(world)["winner_agent_id"] == SELLER
    assert world.payload("INTENT_CLOSED", DEAL)["bids"][0]["ocs_hundredths"] == 9_000


def test_a_bid_that_is_not_what_it_committed_to_stops_the_close() -> None:
    """Catches a close that leaves out or believes a bid changed in the store."""
    world = new_world()
    create(world)
    bid(world, 1)
    bid(world, 2, 7_000)
    changed = world.bids[1].ciphertext.replace(b"7000".hex(), b"1000".hex())
    assert changed != world.bids[1].ciphertext
    world.bids[1] = replace(world.bids[1], ciphertext=changed)
    with pytest.raises(StoreCorrupt):
        close(world)
    assert world.intents[INTENT].state is IntentState.OPEN
    assert not world.reveals


def test_time_ends_the_bidding_even_before_anybody_closes() -> None:
    world = new_world()
    create(world)
    world.now_us += DAY_US - 1
    bid(world, 1)
    world.now_us += 1
    refuses(world, "intent_closed", lambda: bid(world, 2))
    assert close(world, SYSTEM)["status"] == "awarded"
    refuses(world, "intent_closed", lambda: bid(world, 3))
    refuses(world, "intent_closed", lambda: close(world))


def test_an_intent_takes_so_many_bids_and_no_more() -> None:
    """The close opens all in one transaction."""
    world = new_world()
    create(world)
    bid(world, 0)
    world.bids = [replace(world.bids[0], n=n) for n in range(BIDS_MAX)]
    refuses(world, "intent_full", lambda: bid(world, 1))


def test_an_agent_makes_so_many_bids_on_an_intent_and_leaves_room_for_others() -> None:
    """Catches: one agent that fills an intent alone, and is the only one it can be awarded to."""
    world = new_world()
    create(world)
    for n in range(BIDS_OF_ONE_MAX):
        bid(world, n, agent_id="shop")
    refuses(world, "bids_spent", lambda: bid(world, BIDS_OF_ONE_MAX, agent_id="shop"))
    bid(world, BIDS_OF_ONE_MAX, price=7_000, agent_id="other")
    assert close(world)["winner_agent_id"] == "other"


def test_who_may_bid_and_close() -> None:
    world = new_world()
    create(world, key_of(BUYER))
    refuses(world, "key_required", lambda: bid(world, 1))
    refuses(world, "key_required", lambda: close(world))
    own: dict[str, Any] = {"agent_id": BUYER, "principal": key_of(BUYER)}
    refuses(world, "party_mismatch", lambda: bid(world, 1, **own))
    refuses(world, "party_mismatch", lambda: close(world, key_of(SELLER)))
    bid(world, 1, agent_id=SELLER, principal=OPERATOR)
    assert close(world, OPERATOR)["status"] == "awarded"


def test_an_operator_makes_an_intent_for_an_agent_that_exists() -> None:
    world = new_world()
    nobody = "agent_" + "9" * 32
    refuses(world, "agent_not_found", lambda: create(world, OPERATOR, client_id=nobody))
    create(world, OPERATOR, client_id=HELPER)
    assert world.deals[DEAL].buyer_id == HELPER
    assert close(world, key_of(HELPER))["status"] == "no_award"


def test_what_is_not_there_is_not_found() -> None:
    world = new_world()
    refuses(world, "intent_not_found", lambda: bid(world, 1))
    refuses(world, "intent_not_found", lambda: close(world))


def test_no_proof_pack_before_the_award() -> None:
    world = new_world()
    create(world)
    pack = {"principal": ANONYMOUS}
    refuses(world, "award_required", lambda: world.pack(DEAL, **pack))
    bid(world, 1)
    close(world)
    refuses(world, "party_mismatch", lambda: world.pack(DEAL, **pack))
    world.pack(DEAL, **pack, agent_username="shop_1")
    assert world.deals[DEAL].seller_label == "shop_1"


def test_a_cancelled_deal_ends_its_intent_and_opens_nothing() -> None:
    world = new_world()
    create(world)
    bid(world, 1)
    world.deal_in("cancelled", DEAL)
    refuses(world, "intent_closed", lambda: bid(world, 2))
    assert close(world, SYSTEM)["status"] == "cancelled"
    assert world.intents[INTENT].state is IntentState.CANCELLED
    assert not world.reveals
    assert "INTENT_CLOSED" not in world.types(DEAL)


@pytest.mark.parametrize("hours", [0, -1, 8_761])
def test_a_deadline_is_from_an_hour_to_a_year(hours: int) -> None:
    world = new_world()
    refuses(world, "field_invalid", lambda: create(world, deadline_hours=hours))
