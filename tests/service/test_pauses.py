"""Pause switches: new work waits or is refused, what happened is answered, all of it on record.

On both databases, through real deals; the books are audited after each test.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.canonical import sha256_hex
from settlement.core.errors import InvalidField, Paused
from settlement.core.errors.base import Retry
from settlement.core.event_types import EVENT_TYPES
from settlement.core.operations import Go, RequestPayout, Settle
from settlement.service import batch, health, pauses
from settlement.service.audit import run_audit
from settlement.service.payouts_view import payout as payout_view
from settlement.store.events import load_chain
from settlement.store.pauses import Switch, read_pauses
from tests.support.house import Play, house
from tests.support.logs import raw_sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.principal import Principal
    from settlement.store.database import Tx


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url) as services:
        yield Play(services)
        failed = run_audit(services.db).failed()
        assert failed == [], failed


def turn(play: Play, switch: str, *, paused: bool, reason: str = "rail is down") -> bool:
    db = play.services.db
    return pauses.change(db, Switch(switch), paused=paused, reason=reason, operator="ops@example")


def approval(deal: dict[str, Any], buyer: Principal, sent_key: str | None = None) -> Go:
    return Go(
        principal=buyer,
        deal_id=deal["deal_id"],
        quote_id=deal["quote_id"],
        scope_lock_hash=deal["scope_lock_hash"],
        amount_minor=None,
        sent_key=sent_key,
    )


def settled(play: Play) -> tuple[dict[str, Any], Principal]:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    return deal, seller


def refusal(play: Play, op: Any) -> Paused:
    error = play.services.engine.execute(op).error
    assert isinstance(error, Paused), error
    return error


# --- new calls and replays -----------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["go", "all"])
def test_a_paused_switch_refuses_new_calls_and_answers_old_ones(play: Play, switch: str) -> None:
    """Broken build: the pause is looked at before the claim, so a lost answer cannot be fetched;
    or the refusal is remembered under the sent key, so that the call is barred after the pause."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    old, new = play.proof(seller), play.proof(seller)
    first = play.services.engine.execute(approval(old, buyer, "key-1"))
    assert turn(play, switch, paused=True)
    for key in ("key-1", None):
        again = play.services.engine.execute(approval(old, buyer, key))
        assert (again.replayed, again.result) == (True, first.result)
    error = refusal(play, approval(new, buyer, "key-2"))
    assert (error.switch, error.code, error.retry) == (switch, "paused", Retry.SAME_KEY)
    assert turn(play, switch, paused=False)
    done = play.services.engine.execute(approval(new, buyer, "key-2"))
    assert (done.error, done.replayed) == (None, False)


def test_each_switch_stops_its_own_calls_only(play: Play) -> None:
    """Broken build: one flag for everything; pausing payouts stops approvals."""
    deal, seller = settled(play)
    buyer = play.agent("another buyer")
    fresh = play.proof(seller)
    payout = RequestPayout(principal=seller, deal_id=deal["deal_id"], agent_id=str(seller.agent_id))
    turn(play, "payout", paused=True)
    assert refusal(play, payout).switch == "payout"
    play.go(fresh, buyer)
    turn(play, "settle", paused=True)
    assert refusal(play, Settle(principal=seller, deal_id=fresh["deal_id"])).switch == "settle"
    turn(play, "payout", paused=False)
    assert play.services.engine.execute(payout).error is None


def test_a_settle_that_would_approve_too_waits_for_the_pause_of_approvals(play: Play) -> None:
    """Broken build: with GO paused, a settle of an unapproved deal approves it on the way."""
    seller = play.agent("seller")
    deal = play.proof(seller)
    turn(play, "go", paused=True)
    assert refusal(play, Settle(principal=seller, deal_id=deal["deal_id"])).switch == "go"


def test_pause_comes_before_whether_the_deal_exists(play: Play) -> None:
    """Check 8 before check 9. Broken build: a paused server tells which deals there are."""
    turn(play, "settle", paused=True)
    nowhere = Settle(principal=play.agent("seller"), deal_id="deal_" + "0" * 32)
    assert refusal(play, nowhere).switch == "settle"


def test_a_batch_reads_the_switches_once_and_replays_not_at_all(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: a statement per request, which costs what the batch has saved."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    calls = [approval(play.proof(seller), buyer) for _ in range(5)]
    reads: list[int] = []

    def counted(tx: Tx) -> Any:
        reads.append(1)
        return read_pauses(tx)

    monkeypatch.setattr(batch, "read_pauses", counted)
    for expected in (1, 1):
        play.services.engine.run_batch(calls)
        assert len(reads) == expected


# --- effects -------------------------------------------------------------------------------------


def test_a_payout_waits_while_paused_and_says_so(play: Play) -> None:
    """Broken build: the worker sends what was planned before the pause, or forgets it after."""
    deal, seller = settled(play)
    payout_id = play.payout(deal, seller)["payout_id"]
    turn(play, "payout", paused=True)
    before = len(play.rail.entries())
    assert play.services.effects.step() == 1
    assert play.services.effects.step() == 0
    assert len(play.rail.entries()) == before
    seen = payout_view(play.services.db, payout_id, seller)
    assert (seen["state"], seen["waiting_for"]) == ("planned", "paused")
    assert seen["next_check_at"] > seen["waiting_since"]
    turn(play, "payout", paused=False)
    assert play.services.effects.step() == 1  # resuming woke it
    seen = payout_view(play.services.db, payout_id, seller)
    assert (seen["state"], seen["waiting_for"], seen["next_check_at"]) == ("confirmed", None, None)
    assert len(play.rail.entries()) == before + 1


def test_a_rail_is_asked_about_open_effects_while_paused(play: Play, database_url: str) -> None:
    """Broken build: a pause leaves money in doubt for as long as it lasts."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.misbehave("charge_then_silence", "")
    play.settle(deal, seller)
    assert play.services.effects.step() == 1
    turn(play, "all", paused=True)
    play.behave()
    raw_sql(database_url, "UPDATE job SET run_at_us = 0")
    assert play.services.effects.step() == 1
    row = play.services.db.read(lambda tx: tx.one("deals_get", deal_id=deal["deal_id"]))
    assert row["state"] == "settled"
    assert len(play.rail.entries()) == 1


# --- record --------------------------------------------------------------------------------------


def test_a_change_is_an_event_with_operator_and_reason_and_a_repetition_is_none(
    play: Play,
) -> None:
    """Broken build: a switch is thrown and nobody can tell by whom; or text is published."""
    db = play.services.db
    assert turn(play, "payout", paused=True)
    assert not turn(play, "payout", paused=True, reason="again")
    assert turn(play, "payout", paused=False, reason="rail is back")
    chain = db.read(lambda tx: load_chain(tx, "sys_switch_payout"))
    assert [event.event_type for event in chain] == ["SWITCH_PAUSED", "SWITCH_RESUMED"]
    assert {event.actor_id for event in chain} == {"ops@example"}
    for event in chain:
        assert EVENT_TYPES[event.event_type].problem(json.loads(event.payload)) is None
    digests = [json.loads(event.payload)["reason_hash"] for event in chain]
    assert digests == [sha256_hex("rail is down"), sha256_hex("rail is back")]
    (row,) = db.read(read_pauses).rows
    assert (row.paused, row.operator, row.reason) == (False, "ops@example", "rail is back")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 501])
def test_a_reason_is_one_line(play: Play, reason: str) -> None:
    with pytest.raises(InvalidField):
        turn(play, "go", paused=True, reason=reason)
    assert play.services.db.read(read_pauses).on == ()


def test_health_names_what_is_paused_and_readiness_does_not_care(play: Play) -> None:
    """Broken build: a pause takes every server out of the balancer, replays included."""
    services = play.services
    turn(play, "exchange", paused=True)
    assert health.figures(services.db, services.log_views)["paused"] == ["exchange"]
    assert all(check.ok for check in health.database_checks(services.db).values())
