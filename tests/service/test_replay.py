"""The replay of a deal: clean as long as nothing lies, broken by any single change (spec §16.2).

On both databases; damage on SQLite, past the store and with its guards switched off: what a replay
finds depends on what it reads, not on where.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import DealNotFound
from settlement.core.principal import ANONYMOUS, SYSTEM
from settlement.service.replay import replay_deal, replay_for
from tests.support.house import Play, SteppingClock, house
from tests.support.logs import raw_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url, SteppingClock()) as services:
        yield Play(services)


@pytest.fixture
def lite(tmp_path: Path, sqlite_url: str) -> Iterator[Play]:
    with house(tmp_path, sqlite_url, SteppingClock()) as services:
        yield Play(services)


def paid(play: Play) -> str:
    """A deal settled, verified and paid out."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.receipt(deal)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    play.payout(deal, seller)
    play.work()
    return str(deal["deal_id"])


def verdict(play: Play, deal_id: str) -> str:
    found = replay_deal(play.services.db, deal_id)
    assert found["ok"] is (found["verdict"] != "broken")
    return str(found["verdict"])


def test_every_stage_of_a_deal_replays_clean(play: Play) -> None:
    seller, buyer, helper = play.agent("seller"), play.agent("buyer"), play.agent("helper")
    deal = play.proof(seller)
    deal_id = deal["deal_id"]
    assert verdict(play, deal_id) == "clean"
    play.receipt(deal)
    play.go(deal, buyer)
    assert verdict(play, deal_id) == "clean"
    play.settle(deal, seller, splits=[(seller, "0.7"), (helper, "0.3")])
    assert verdict(play, deal_id) == "clean"  # settling: the rail has not answered
    play.work()
    assert verdict(play, deal_id) == "clean"
    for payee in (seller, helper):
        play.payout(deal, payee)
    assert verdict(play, deal_id) == "clean"  # holds have moved nothing
    play.work()
    found = replay_deal(play.services.db, deal_id)
    assert found["verdict"] == "clean"
    assert found["lifecycle"] == {
        "state": "settled",
        "illegal_transitions": [],
        "missing_events": [],
    }
    assert found["receipts"] == {"count": 1, "hashes_ok": True}
    assert len(found["rail"]["confirmed_refs"]) == 3
    assert found["outbox"] == {"pending": 0}
    assert found["ledger"]["gross"] == "100.00"


def test_a_refused_payout_and_its_second_try_replay_clean(play: Play) -> None:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    play.misbehave("decline", "payout:")
    play.payout(deal, seller)
    play.work()
    assert verdict(play, deal["deal_id"]) == "clean"
    play.behave()
    play.payout(deal, seller)
    play.work()
    found = replay_deal(play.services.db, deal["deal_id"])
    assert found["verdict"] == "clean", found
    assert found["comparison"]["actual_from_ledger"]["paid_out"] == "96.92"


def test_two_replays_of_one_state_have_one_hash(play: Play) -> None:
    deal_id = paid(play)
    first, second = (replay_deal(play.services.db, deal_id) for _ in range(2))
    assert first["replayed_at"] != second["replayed_at"]
    assert first["audit_hash"] == second["audit_hash"]
    other = paid(play)
    assert replay_deal(play.services.db, other)["audit_hash"] != first["audit_hash"]


def test_strangers_have_no_replay(play: Play) -> None:
    deal_id = paid(play)
    for caller in (ANONYMOUS, play.agent("stranger")):
        with pytest.raises(DealNotFound):
            replay_for(play.services.db, deal_id, caller)
    assert replay_for(play.services.db, deal_id, SYSTEM)["verdict"] == "clean"
    with pytest.raises(DealNotFound):
        replay_deal(play.services.db, "deal_unknown")


A64 = 64 * "a"
#: what is damaged -> (statement with {deal}, the part of the replay that must say so)
DAMAGE: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
    "an event's payload": (
        (
            "UPDATE event SET payload = replace(payload, '10000', '10001') WHERE deal_id = '{deal}'"
            " AND event_type = 'SETTLED'"
        ),
        lambda found: found["chain"]["first_break_index"] == 4,
    ),
    "an event's actor": (
        "UPDATE event SET actor_id = 'somebody' WHERE deal_id = '{deal}' AND version = 0",
        lambda found: found["chain"]["first_break_index"] == 0,
    ),
    "an event's time": (
        (
            "UPDATE event SET timestamp = '2026-01-01T00:00:00.000001Z' WHERE deal_id = '{deal}'"
            " AND version = 2"
        ),
        lambda found: found["chain"]["first_break_index"] == 2,
    ),
    "an event's type": (
        "UPDATE event SET event_type = 'OUTCOME_RECORDED' WHERE deal_id = '{deal}' AND version = 2",
        lambda found: not found["chain"]["verified"],
    ),
    "an event's hash": (
        f"UPDATE event SET hash = '{A64}' WHERE deal_id = '{{deal}}' AND version = 1",
        lambda found: found["chain"]["first_break_index"] == 1,
    ),
    "an event's link": (
        f"UPDATE event SET prev_hash = '{A64}' WHERE deal_id = '{{deal}}' AND version = 3",
        lambda found: found["chain"]["first_break_index"] == 3,
    ),
    "a missing event": (
        "DELETE FROM event WHERE deal_id = '{deal}' AND event_type = 'GO_APPROVED'",
        lambda found: bool(found["lifecycle"]["illegal_transitions"]),
    ),
    "a missing end": (
        "DELETE FROM event WHERE deal_id = '{deal}' AND event_type = 'PAYOUT_CONFIRMED'",
        lambda found: not found["chain"]["verified"],
    ),
    "the deal's head": (
        f"UPDATE deal SET head_hash = '{A64}' WHERE deal_id = '{{deal}}'",
        lambda found: not found["chain"]["verified"],
    ),
    "the deal's version": (
        "UPDATE deal SET version = version + 1 WHERE deal_id = '{deal}'",
        lambda found: not found["chain"]["verified"],
    ),
    "a fee": (
        (
            "UPDATE transfer SET amount_minor = amount_minor + 1 WHERE deal_id = '{deal}'"
            " AND kind = 'fee'"
        ),
        lambda found: {"protocol_fee", "gross"} <= names(found),
    ),
    "a release": (
        (
            "UPDATE transfer SET amount_minor = amount_minor - 1 WHERE deal_id = '{deal}'"
            " AND kind = 'release'"
        ),
        lambda found: "net" in names(found) and not found["ledger"]["splits_ok"],
    ),
    "a charge": (
        "UPDATE transfer SET amount_minor = 1 WHERE deal_id = '{deal}' AND kind = 'charge'",
        lambda found: "authorized" in names(found),
    ),
    "a payout": (
        (
            "UPDATE transfer SET amount_minor = 1 WHERE deal_id = '{deal}' AND kind = 'payout'"
            " AND phase = 'post'"
        ),
        lambda found: "paid_out" in names(found),
    ),
    "who was credited": (
        (
            "UPDATE transfer SET credit_ref = 'entity:somebody' WHERE deal_id = '{deal}'"
            " AND kind = 'release'"
        ),
        lambda found: "somebody" in names(found),
    ),
    "where the money came from": (
        (
            "UPDATE transfer SET debit_ref = 'clearing:other' WHERE deal_id = '{deal}'"
            " AND kind = 'charge'"
        ),
        lambda found: whats(found) == {"tx_hash"},
    ),
    "a missing transfer": (
        "DELETE FROM transfer WHERE deal_id = '{deal}' AND kind = 'payout_settled'",
        lambda found: whats(found) == {"tx_hash"},
    ),
    "a payee's row": (
        "UPDATE settlement_payee SET net_minor = net_minor + 1 WHERE deal_id = '{deal}'",
        lambda found: not found["ledger"]["splits_ok"],
    ),
    "a receipt's confidence": (
        "UPDATE receipt SET confidence = '0.9' WHERE deal_id = '{deal}'",
        lambda found: not found["receipts"]["hashes_ok"],
    ),
    "a receipt's verdict": (
        "UPDATE receipt SET verified = 1 - verified WHERE deal_id = '{deal}'",
        lambda found: not found["receipts"]["hashes_ok"],
    ),
}
DOUBT: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
    "another reference at the rail": (
        "UPDATE effect SET rail_ref = 'sim_other' WHERE deal_id = '{deal}' AND kind = 'payout'",
        lambda found: "sim_other" in found["rail"]["unmatched"],
    ),
    "a state no event made": (
        "UPDATE deal SET state = 'disputed' WHERE deal_id = '{deal}'",
        lambda found: (
            found["lifecycle"]["missing_events"] == ["the event that made the deal disputed"]
        ),
    ),
}


def names(found: dict[str, Any]) -> set[str]:
    return {line["name"] for line in found["comparison"]["differences"]}


def whats(found: dict[str, Any]) -> set[str]:
    return {line["what"] for line in found["comparison"]["differences"]}


@pytest.mark.parametrize("what", [*DAMAGE, *DOUBT])
def test_any_single_change_shows(lite: Play, sqlite_url: str, what: str) -> None:
    deal_id, other = paid(lite), paid(lite)
    statement, says_so = {**DAMAGE, **DOUBT}[what]
    raw_sql(sqlite_url, statement.replace("{deal}", deal_id), without_triggers=True)
    found = replay_deal(lite.services.db, deal_id)
    assert found["verdict"] == ("broken" if what in DAMAGE else "warning"), json.dumps(found)
    assert says_so(found), json.dumps(found, indent=1)
    assert verdict(lite, other) == "clean"


def test_a_message_that_has_not_left_is_counted(play: Play) -> None:
    seller = play.agent("seller")
    deal = play.proof(seller)
    assert replay_deal(play.services.db, deal["deal_id"])["outbox"] == {"pending": 1}
    play.work()
    assert replay_deal(play.services.db, deal["deal_id"])["outbox"] == {"pending": 0}
