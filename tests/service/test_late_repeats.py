"""A call repeated after midnight, a day, a year is still the same call (spec §6.3, §18.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.clock import parse_time
from settlement.service.prune import Pruner
from settlement.service.replay import replay_deal
from tests.support.house import Play, SteppingClock, house
from tests.support.rows import count_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOUR = 3_600
DAY = 24 * HOUR
#: Half a minute before midnight, so that the first repeat is on another day.
EVENING = "2026-03-31T23:59:30.000000Z"
MONEY = ("settlement", "payout", "effect", "transfer", "event", "claim", "ledger_tx")


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock(EVENING)


@pytest.fixture
def play(tmp_path: Path, database_url: str, clock: SteppingClock) -> Iterator[Play]:
    with house(tmp_path, database_url, clock) as services:
        yield Play(services)


def test_calls_of_money_repeated_late_are_replays_and_move_nothing(
    play: Play, clock: SteppingClock, database_url: str
) -> None:
    """Broken builds: a key that holds the day, so that midnight opens a second settle; claims that
    live for a day, as a cache would keep them; tidying that takes outcomes of money with it."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller, sent_key="a-key-of-mine")
    play.work()
    play.payout(deal, seller)
    play.work()
    calls: list[Callable[[], dict[str, Any]]] = [
        lambda: play.go(deal, buyer),
        lambda: play.settle(deal, seller),
        lambda: play.settle(deal, seller, sent_key="a-key-of-mine"),
        lambda: play.payout(deal, seller),
    ]
    first = [call() for call in calls]
    before = count_rows(database_url)
    charged = len(play.rail.entries())
    begun = parse_time(EVENING)
    pruner = Pruner(play.services.db, ())
    for later in (60, 25 * HOUR, 31 * DAY, 400 * DAY):
        clock.advance((begun - clock.now_us()) // 1_000_000 + later)
        pruner.handle(None)  # type: ignore[arg-type]  # it looks at no run
        assert [call() for call in calls] == first, later
        play.work()
        after = count_rows(database_url)
        assert {name: after[name] for name in MONEY} == {name: before[name] for name in MONEY}
    assert len(play.rail.entries()) == charged == 2
    assert replay_deal(play.services.db, deal["deal_id"])["verdict"] == "clean"
