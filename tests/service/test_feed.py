"""The econ feed over settled deals: when an hour is released, what counts, and that it stays."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.misconfigured import ConfigError
from settlement.core.principal import ANONYMOUS
from settlement.service import feed
from settlement.service.feed import Feed, get_delayed_snapshot, premium_snapshot
from tests.support.house import Play, SteppingClock, house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USD = "USD/2"
HOUR = 3600


class Hours:
    """A house whose clock a test moves: on PostgreSQL too, where the database has a clock of its
    own, time is moved by moving what is looked at instead."""

    def __init__(self, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        self.play = play
        self.db = play.services.db
        self.feed = Feed(self.db, asset=USD, delay_seconds=HOUR)
        self._shift_us = 0
        monkeypatch.setattr(
            Feed,
            "_last_over_us",
            lambda of, now_us, real=Feed._last_over_us: real(of, now_us + self._shift_us),
        )

    def pass_(self, seconds: int) -> None:
        """Let the feed believe that time has passed."""
        self._shift_us += seconds * 1_000_000

    def public(self) -> dict[str, Any]:
        """The public feed now."""
        return get_delayed_snapshot(self.db, asset=USD, delay_seconds=HOUR)

    def premium(self) -> dict[str, Any]:
        """The premium feed now."""
        return premium_snapshot(self.db, asset=USD, delay_seconds=HOUR)

    def settled(self, n: int = 5, amount_minor: int = 10_000) -> None:
        """Deals of n buyers with n sellers."""
        for i in range(n):
            seller = self.play.agent(f"seller {i}")
            deal = self.play.proof(seller, amount_minor)
            self.play.go(deal, self.play.agent(f"buyer {i}"))
            self.play.settle(deal, seller)
        self.play.work()


@pytest.fixture
def hours(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hours]:
    with house(tmp_path, database_url, SteppingClock()) as services:
        # What a test settles must fall into one hour, also by a clock that nobody can stop.
        while services.db.read(lambda tx: tx.now_us) // 1_000_000 % HOUR > HOUR - 30:
            threading.Event().wait(1)
        yield Hours(Play(services), monkeypatch)


def test_an_hour_is_released_once_its_delay_is_over_and_never_changes(hours: Hours) -> None:
    """Catches a release that counts what is younger than the delay, or is computed anew."""
    assert hours.public()["epoch"] is None
    hours.settled()
    hours.feed.step()
    assert hours.public()["verticals"] == {}
    hours.pass_(2 * HOUR)
    assert hours.feed.step() > 0
    first = hours.public()
    assert first["verticals"] == {
        "marketing": {
            "gmv_usd": "500",
            "deal_count_bucket": "5-9",
            "avg_price_band": "100-499",
        }
    }
    assert first["delay_applied_seconds"] == HOUR
    assert hours.feed.step() == 0
    hours.settled()  # booked in an hour that the feed has already given out
    assert hours.public() == first
    hours.pass_(HOUR)
    assert hours.feed.step() == 1
    assert hours.public()["verticals"] == {}
    assert hours.premium()["releases"][1]["verticals"]["marketing"]["gmv_usd"] == "500.00"


def test_missed_hours_are_caught_up_in_order_without_gaps(hours: Hours) -> None:
    hours.settled()
    hours.pass_(30 * HOUR)
    released = [hours.feed.step() for _ in range(3)]
    assert sum(released) in (28, 29, 30, 31)
    assert released[-1] == 0
    epochs = [row["epoch"] for row in hours.premium()["releases"]]
    assert len(set(epochs)) == len(epochs) == sum(released)
    assert epochs == sorted(epochs, reverse=True)
    volumes = [row["verticals"] for row in hours.premium()["releases"] if row["verticals"]]
    assert len(volumes) == 1


def test_open_deals_and_deals_without_a_known_buyer_do_not_count(hours: Hours) -> None:
    """Catches a feed that lets anybody make up a crowd without keys."""
    for i in range(6):
        seller = hours.play.agent(f"seller {i}")
        known = hours.play.proof(seller)
        hours.play.go(known, ANONYMOUS)
        hours.play.settle(known, seller)
        opened = hours.play.proof(replace(ANONYMOUS, agent_id=seller.agent_id))
        hours.play.go(opened, hours.play.agent(f"buyer {i}"))
        hours.play.settle(opened, seller)
    hours.play.work()
    hours.pass_(3 * HOUR)
    hours.feed.step()
    for row in hours.premium()["releases"]:
        assert row["verticals"] == {}
        assert row["suppressed_verticals_count"] == 0


def test_two_processes_release_an_hour_once(hours: Hours) -> None:
    hours.settled()
    hours.pass_(5 * HOUR)
    counts: list[int] = []
    both = threading.Barrier(2)

    def run() -> None:
        mine = Feed(hours.db, asset=USD, delay_seconds=HOUR)
        both.wait()
        counts.append(mine.step())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == len(hours.premium()["releases"])


def test_a_release_asks_the_guards_whatever_the_settings_said(
    hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches guards that are looked at only at the start."""
    with pytest.raises(ConfigError):
        Feed(hours.db, asset=USD, delay_seconds=HOUR - 1)
    hours.pass_(3 * HOUR)
    with monkeypatch.context() as weaker:
        weaker.setattr(feed, "K_ANONYMITY_THRESHOLD", 4)
        with pytest.raises(ConfigError):
            hours.feed.step()
    assert hours.premium()["releases"] == []
