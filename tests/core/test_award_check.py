"""Any bid changed, added or removed after the close fails the award's check; an honest one passes.

The document is what the client gets from `/protocol/intents/{id}/reveal`, and every forger here has
done its homework: hashes are made anew where the forger can make them.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core.award import reveal_hash
from settlement.core.award_check import check_award
from settlement.core.bids import budget_commitment
from settlement.core.hashes import event_hash
from tests.core.test_operations_exchange import DEAL, INTENT, bid, close, create
from tests.support.world import new_world

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]


def revealed(prices: tuple[int, ...] = (9_000, 8_000, 8_500)) -> Document:
    """An intent that went its way, as its client sees it afterwards."""
    world = new_world()
    create(world)
    for n, price in enumerate(prices):
        bid(world, n, price)
    close(world)
    reveals = {one.bid_id: one for one in world.reveals}
    names = (
        *("event_id", "event_type", "deal_id", "actor_id", "timestamp"),
        *("prev_hash", "hash"),
    )
    events = [
        {**{name: getattr(event, name) for name in names}, "payload": json.loads(event.payload)}
        for event in world.books.chains[DEAL]
    ]
    return {
        "intent_id": INTENT,
        "deal_id": DEAL,
        "complete": True,
        "events": events,
        "reveal": {
            "asset": "USD/2",
            "budget_minor": 10_000,
            "budget_nonce": bytes(32).hex(),
            "bids": [
                {
                    "bid_id": one.bid_id,
                    "agent_id": one.agent_id,
                    "asset": "USD/2",
                    "price_minor": reveals[one.bid_id].price_minor,
                    "delivery_hours": reveals[one.bid_id].delivery_hours,
                    "message": reveals[one.bid_id].message,
                    "nonce": reveals[one.bid_id].nonce,
                }
                for one in world.bids
            ],
        },
    }


def relinked(document: Document) -> Document:
    """A chain whose hashes the forger has made anew, the reveal's too."""
    for event in document["events"]:
        if event["event_type"] == "BIDS_REVEALED":
            event["payload"]["reveal_hash"] = reveal_hash(INTENT, document["reveal"])
    before = ""
    for event in document["events"]:
        event["prev_hash"] = before
        event["hash"] = before = event_hash({k: v for k, v in event.items() if k != "hash"})
    return document


def failed(document: Document) -> set[str]:
    """Names of the steps that fail."""
    report = check_award(document)
    assert not report.verified
    return {step.name for step in report.steps if step.result.value != "pass"}


def payload(document: Document, event_type: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        e["payload"] for e in document["events"] if e["event_type"] == event_type
    )
    return found


@pytest.mark.parametrize("prices", [(9_000, 8_000), (8_000,), (), (10_001, 20_000)])
def test_an_honest_award_verifies(prices: tuple[int, ...]) -> None:
    """Also one without a bid, and one that nobody won."""
    document = revealed(prices)
    report = check_award(document, document["events"])
    assert report.verified, report.document()
    assert report.bid_count == len(prices)


# --- forgers -------------------------------------------------------------------------------------


def cheaper(document: Document) -> None:
    document["reveal"]["bids"][0]["price_minor"] = 1


def faster(document: Document) -> None:
    document["reveal"]["bids"][0]["delivery_hours"] = 1


def other_words(document: Document) -> None:
    document["reveal"]["bids"][0]["message"] = "changed"


def other_nonce(document: Document) -> None:
    document["reveal"]["bids"][0]["nonce"] = "f" * 64


def left_out_of_the_reveal(document: Document) -> None:
    del document["reveal"]["bids"][1]


def left_out_of_the_close(document: Document) -> None:
    del document["reveal"]["bids"][1]
    del payload(document, "INTENT_CLOSED")["bids"][1]


def left_out_everywhere_but_the_count(document: Document) -> None:
    left_out_of_the_close(document)
    received = [e for e in document["events"] if e["event_type"] == "BID_RECEIVED"]
    document["events"].remove(received[1])


def added_to_the_reveal(document: Document) -> None:
    document["reveal"]["bids"].append({**document["reveal"]["bids"][0], "bid_id": "bid_x"})


def added_to_the_close(document: Document) -> None:
    added_to_the_reveal(document)
    listed = payload(document, "INTENT_CLOSED")["bids"]
    listed.append({**listed[0], "bid_id": "bid_x"})


def swapped_bidders(document: Document) -> None:
    first, second = document["reveal"]["bids"][:2]
    first["agent_id"], second["agent_id"] = second["agent_id"], first["agent_id"]


def another_winner(document: Document) -> None:
    listed = payload(document, "INTENT_CLOSED")["bids"]
    awarded = payload(document, "INTENT_AWARDED")
    awarded.update(bid_id=listed[0]["bid_id"], seller=listed[0]["agent_id"], price_minor=9_000)


def a_higher_price(document: Document) -> None:
    payload(document, "INTENT_AWARDED")["price_minor"] += 1


def no_award(document: Document) -> None:
    document["events"] = [e for e in document["events"] if e["event_type"] != "INTENT_AWARDED"]


def a_smaller_budget(document: Document) -> None:
    document["reveal"]["budget_minor"] = 8_400


def a_shorter_deadline(document: Document) -> None:
    payload(document, "INTENT_CREATED")["deadline_hours"] = 11


def better_figures(document: Document) -> None:
    payload(document, "INTENT_CLOSED")["bids"][0]["ocs_hundredths"] = 10_000


def a_fraction(document: Document) -> None:
    document["reveal"]["bids"][0]["price_minor"] = 9_000.0


def a_late_bid(document: Document) -> None:
    events = document["events"]
    received = next(e for e in events if e["event_type"] == "BID_RECEIVED")
    events.remove(received)
    events.append(received)


FORGERS: list[Callable[[Document], None]] = [
    cheaper,
    faster,
    other_words,
    other_nonce,
    left_out_of_the_reveal,
    left_out_of_the_close,
    left_out_everywhere_but_the_count,
    added_to_the_reveal,
    added_to_the_close,
    swapped_bidders,
    another_winner,
    a_higher_price,
    no_award,
    a_smaller_budget,
    a_shorter_deadline,
    better_figures,
    a_fraction,
    a_late_bid,
]


@pytest.mark.parametrize("forge", FORGERS, ids=lambda forge: forge.__name__)
def test_what_was_changed_added_or_removed_fails(forge: Callable[[Document], None]) -> None:
    """As it stands, and with every hash made anew."""
    document = revealed()
    forge(document)
    assert failed(document)
    if forge is not a_fraction:  # which no hash of ours covers
        assert failed(relinked(document))


def test_a_whole_history_written_anew_is_not_the_one_in_the_bundle() -> None:
    """A forger who remakes everything, commitments included, still lacks the log's events."""
    honest = revealed()
    forged = revealed((9_000, 8_000))
    assert check_award(forged).verified
    assert not check_award(forged, honest["events"]).verified
    assert not check_award(honest, []).verified


def test_a_bidders_own_part_proves_no_award() -> None:
    part = revealed()
    part["reveal"]["bids"] = part["reveal"]["bids"][:1]
    del part["reveal"]["budget_minor"], part["reveal"]["budget_nonce"]
    assert "reveal" in failed(part)


def test_a_budget_is_fixed_by_the_first_event() -> None:
    document = revealed()
    document["reveal"]["budget_minor"] = 20_000
    assert "budget" in failed(relinked(document))
    made = budget_commitment(INTENT, "USD/2", 20_000, bytes(32))
    payload(document, "INTENT_CREATED")["budget_commitment"] = made
    assert check_award(relinked(document), revealed()["events"]).verified is False


@given(st.data())
def test_no_damage_verifies_and_none_is_an_exception(data: st.DataObject) -> None:
    """Any member of any depth taken away or replaced; catches a check that trusts its input."""
    document = copy.deepcopy(HONEST)
    at: Any = document
    while True:
        names = sorted(at) if isinstance(at, dict) else list(range(len(at)))
        name = data.draw(st.sampled_from(names))
        inner = at[name]
        if isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
            at = inner
            continue
        break
    other: Any = data.draw(st.sampled_from([None, 0, -1, "x", [], {}, True, 2**60, ["x"]]))
    if data.draw(st.booleans()):
        del at[name]
    elif other == inner or name in UNCHECKED:
        return
    else:
        at[name] = other
    if name not in UNCHECKED:
        assert not check_award(document).verified, (name, other)


HONEST = revealed()
#: Said for the reader: nothing is concluded from it.
UNCHECKED = frozenset({"complete"})
