"""The exchange on a real database: the loop that closes, the seal key, switches, and the guards."""

from __future__ import annotations

import base64
import stat
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from settlement.config import ConfigError
from settlement.core.auction import SLA_UNKNOWN
from settlement.core.errors import IntentClosed, IntentNotFound, Paused, SealKeyMissing
from settlement.core.intent_rows import BidReveal
from settlement.core.operations import Cancel
from settlement.service.audit import run_audit
from settlement.service.exchange import DUE_BATCH, recompute
from settlement.service.pauses import change
from settlement.store.database import ConstraintViolated
from settlement.store.exchange import bids_of, find_intent, punctuality
from settlement.store.pauses import Switch
from tests.support.house import Play, SteppingClock, house
from tests.support.intents import sealed_bid
from tests.support.raw import insert, open_raw, sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from settlement.core.intent_rows import Intent
    from settlement.wiring import Services

DAY = 24 * 3600
AWARD_TO_NOBODY = (
    "UPDATE intent SET state = 'awarded', closed_at = '2026', winner_bid_id = 'bid_none',"
    " winner_agent_id = 'x', winning_minor = 1, due_at = '2026'"
)
OTHER_KEY = base64.b64encode(b"o" * 32).decode()


class Timed(Play):
    """Play with the clock it is played by, where there is one to move."""

    clock: SteppingClock | None = None


@contextmanager
def playing(directory: Path, url: str, **settings: str) -> Iterator[tuple[Services, Timed]]:
    """A house; on SQLite with a clock that `pass_time` can move."""
    clock = SteppingClock() if url.startswith("sqlite") else None
    with house(directory, url, clock, **settings) as services:
        play = Timed(services)
        play.clock = clock
        yield services, play


@pytest.fixture
def played(database_url: str, tmp_path: Path) -> Iterator[tuple[Services, Timed]]:
    with playing(tmp_path, database_url) as found:
        yield found


def pass_time(services: Services, play: Timed) -> None:
    """A day goes by; PostgreSQL's clock is its own, so there the intents become a day older."""
    if play.clock is not None:
        play.clock.advance(DAY)
        return
    with psycopg.connect(services.settings.database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE intent SET closes_at = created_at WHERE state = 'open'")


def stored(services: Services, intent_id: str) -> Intent:
    view = services.db.read(lambda tx: find_intent(tx, intent_id))
    assert view is not None
    return view.intent


def test_the_loop_closes_what_is_due_and_nothing_else(played: tuple[Services, Timed]) -> None:
    services, play = played
    buyer, seller = play.agent("buyer"), play.agent("seller")
    due = [play.intent(buyer) for _ in range(3)]
    play.bid(due[0], seller, 8_000)
    assert services.exchange.step() == 0
    pass_time(services, play)
    fresh = play.intent(buyer)
    assert services.exchange.step() == 3
    assert services.exchange.step() == 0
    assert stored(services, due[0]["intent_id"]).winner_agent_id == seller.agent_id
    assert stored(services, due[1]["intent_id"]).state == "no_award"
    assert stored(services, fresh["intent_id"]).state == "open"
    events = services.db.read(
        lambda tx: tx.all("deals_events_page", deal_id=due[0]["deal_id"], from_version=0, limit=9)
    )
    closed = next(row for row in events if row["event_type"] == "INTENT_CLOSED")
    assert (closed["actor_id"], closed["source"]) == ("system", "system")


def test_a_bid_at_the_closing_time_is_refused_before_anybody_closes(
    played: tuple[Services, Timed],
) -> None:
    services, play = played
    buyer, seller = play.agent("buyer"), play.agent("seller")
    made = play.intent(buyer)
    pass_time(services, play)
    with pytest.raises(IntentClosed):
        play.bid(made, seller, 8_000)
    assert services.exchange.view(made["intent_id"], seller)["status"] == "closing"


def test_cancelling_the_deal_ends_the_intent_and_opens_nothing(
    played: tuple[Services, Timed],
) -> None:
    """Catches a loop that looks at a cancelled intent for ever, and one that reveals its bids."""
    services, play = played
    buyer, seller = play.agent("buyer"), play.agent("seller")
    made = play.intent(buyer)
    play.bid(made, seller, 8_000)
    cancel = Cancel(principal=buyer, deal_id=made["deal_id"])
    assert services.engine.execute(cancel).unwrap()["status"] == "cancelled"
    assert services.exchange.view(made["intent_id"], seller)["status"] == "cancelled"
    with pytest.raises(IntentClosed):
        play.bid(made, seller, 7_000)
    pass_time(services, play)
    assert services.exchange.step() == 1
    assert services.exchange.step() == 0
    assert stored(services, made["intent_id"]).state == "cancelled"
    with pytest.raises(IntentNotFound):
        services.exchange.reveal(made["intent_id"], buyer)
    if play.clock is not None:  # elsewhere the test has moved times by hand
        assert run_audit(services.db).failed() == []


def test_an_intent_that_cannot_be_opened_holds_up_no_other(
    database_url: str, tmp_path: Path
) -> None:
    """Catches a loop that takes the first few due ones again and again."""
    with playing(tmp_path, database_url) as (services, play):
        buyer, seller = play.agent("buyer"), play.agent("seller")
        stuck = [play.intent(buyer) for _ in range(DUE_BATCH)]
        for made in stuck:
            play.bid(made, seller, 8_000)
    with playing(tmp_path, database_url, SETTLEMENT_SEAL_KEY=OTHER_KEY) as (services, play):
        with pytest.raises(SealKeyMissing) as refusal:
            play.close(stuck[0], buyer)
        assert refusal.value.reason.count("seal key") == 1
        free = play.intent(buyer)
        play.bid(free, seller, 7_000)
        pass_time(services, play)
        if database_url.startswith("sqlite"):
            pass_time(services, play)
        closed = [services.exchange.step() for _ in range(4)]
        assert sum(closed) == 1
        assert stored(services, free["intent_id"]).state == "awarded"
        assert stored(services, stuck[0]["intent_id"]).state == "open"
    with playing(tmp_path, database_url) as (services, play):
        assert play.close(stuck[0], buyer)["status"] == "awarded"


def test_paused_the_exchange_takes_nothing_new_and_repeats_what_was(
    played: tuple[Services, Timed],
) -> None:
    services, play = played
    buyer, seller = play.agent("buyer"), play.agent("seller")
    done, open_one = play.intent(buyer), play.intent(buyer)
    play.bid(done, seller, 8_000)
    ended = play.close(done, buyer)
    change(services.db, Switch.EXCHANGE, paused=True, reason="drill", operator="ops")
    with pytest.raises(Paused):
        play.intent(buyer)
    with pytest.raises(Paused):
        play.bid(open_one, seller, 1)
    with pytest.raises(Paused):
        play.close(open_one, buyer)
    assert play.close(done, buyer) == ended


def test_punctuality_comes_from_settled_awards_alone(played: tuple[Services, Timed]) -> None:
    """One in time makes a million; without history it is half; open intents do not count."""
    services, play = played
    buyer, seller = play.agent("buyer"), play.agent("seller")
    agent_id = str(seller.agent_id)

    def figure() -> int:
        return services.db.read(lambda tx: punctuality(tx, agent_id))

    assert figure() == SLA_UNKNOWN
    made = play.intent(buyer)
    play.bid(made, seller, 8_000)
    play.close(made, buyer)
    assert figure() == SLA_UNKNOWN
    deal = play.proof(seller, deal_id=made["deal_id"])
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    assert figure() == 1_000_000
    again = play.intent(buyer)
    play.bid(again, seller, 8_000)
    (bid,) = services.db.read(lambda tx: bids_of(tx, again["intent_id"]))
    assert bid.sla_ppm == 1_000_000
    assert bid.ocs_hundredths > 5_000


def test_the_stored_reveal_names_the_same_winner(played: tuple[Services, Timed]) -> None:
    services, play = played
    buyer, bidders = play.agent("buyer"), [play.agent(f"b{n}") for n in range(4)]
    made = play.intent(buyer)
    for n, bidder in enumerate(bidders):
        play.bid(made, bidder, 9_000 - 7 * n, message=f"offer {n}")
    assert recompute(services.db, made["intent_id"]) is None
    ended = play.close(made, buyer)
    winner = recompute(services.db, made["intent_id"])
    assert winner is not None
    assert (winner.bid_id, winner.price_minor) == (ended["winner_bid_id"], 8_979)


# --- the key -------------------------------------------------------------------------------------


def test_a_sandbox_makes_one_key_and_keeps_it(sqlite_url: str, tmp_path: Path) -> None:
    with house(tmp_path, sqlite_url) as services:
        path = services.settings.seal_key_file
        first = path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with house(tmp_path, sqlite_url):
        assert path.read_bytes() == first


@pytest.mark.parametrize("content", [b"", b"too short", b"\xff" * 44])
def test_a_key_file_that_holds_no_key_stops_the_start(
    sqlite_url: str, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "keys" / "seal.key"
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    with ExitStack() as stack, pytest.raises(ConfigError) as refusal:
        stack.enter_context(house(tmp_path, sqlite_url))
    assert refusal.value.setting == "SETTLEMENT_SEAL_KEY"


def test_a_key_that_others_can_read_stops_the_start(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "seal.key"
    path.parent.mkdir()
    path.write_text(OTHER_KEY)
    path.chmod(0o644)
    with ExitStack() as stack, pytest.raises(ConfigError):
        stack.enter_context(house(tmp_path, sqlite_url))


# --- the database's own guards -------------------------------------------------------------------


@pytest.fixture
def ended(played: tuple[Services, Timed]) -> tuple[Services, dict[str, Any], dict[str, Any]]:
    """An intent that was awarded and one that is open, with a bid each."""
    services, play = played
    buyer, seller = play.agent("buyer"), play.agent("seller")
    closed, opened = play.intent(buyer), play.intent(buyer)
    for made in (closed, opened):
        play.bid(made, seller, 8_000)
    play.close(closed, buyer)
    return services, closed, opened


def refused(services: Services, statement: Any, rule: str) -> None:
    with open_raw(services.settings.database) as raw, pytest.raises(ConstraintViolated) as refusal:
        raw.run([statement])
    assert refusal.value.name == rule


def test_the_database_refuses_a_bid_on_a_closed_intent(ended: Any) -> None:
    services, closed, opened = ended
    late = sealed_bid(stored(services, closed["intent_id"]), 1)
    refused(services, insert("bid", late), "bid_after_close")
    at_the_end = stored(services, opened["intent_id"])
    bid = replace(sealed_bid(at_the_end, 1), created_at=at_the_end.closes_at)
    refused(services, insert("bid", bid), "bid_after_close")
    refused(services, insert("bid", replace(bid, created_at="2020", n=5)), "bid_gap")


def test_the_database_refuses_a_reveal_before_the_close_and_another_price_after_it(
    ended: Any,
) -> None:
    services, closed, opened = ended
    (open_bid,) = services.db.read(lambda tx: bids_of(tx, opened["intent_id"]))
    early = BidReveal(
        bid_id=open_bid.bid_id,
        intent_id=opened["intent_id"],
        price_minor=1,
        delivery_hours=1,
        message="",
        nonce="0" * 64,
    )
    refused(services, insert("bid_reveal", early), "reveal_before_close")
    change = "UPDATE bid_reveal SET price_minor = 1 WHERE intent_id = :intent_id"
    refused(services, sql(change, intent_id=closed["intent_id"]), "bid_reveal_append_only")


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE intent SET state = 'no_award', winner_bid_id = NULL", "intent_ends_once"),
        ("UPDATE intent SET winner_agent_id = 'other'", "intent_winner"),
        ("DELETE FROM intent", "intent_kept"),
    ],
)
def test_an_intent_ends_once(ended: Any, statement: str, rule: str) -> None:
    services, closed, _ = ended
    where = " WHERE intent_id = :intent_id"
    refused(services, sql(statement + where, intent_id=closed["intent_id"]), rule)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE intent SET budget_minor = budget_minor + 1", "intent_fixed"),
        ("UPDATE intent SET closes_at = '9999'", "intent_fixed"),
        ("UPDATE intent SET client_id = NULL", "intent_fixed"),
        (AWARD_TO_NOBODY, "intent_winner"),
    ],
)
def test_what_was_asked_for_stays_and_a_winner_is_a_bidder(
    ended: Any, statement: str, rule: str
) -> None:
    services, _, opened = ended
    where = " WHERE intent_id = :intent_id"
    refused(services, sql(statement + where, intent_id=opened["intent_id"]), rule)


def test_bids_are_never_changed(ended: Any) -> None:
    services, _, _ = ended
    for text in ("UPDATE bid SET ocs_hundredths = 1", "DELETE FROM bid"):
        refused(services, sql(text), "bid_append_only")
