"""A clock that is set back: chains and books go forward all the same (spec §1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import InvalidField
from settlement.core.operations import (
    AppendEvent,
)
from settlement.core.principal import SYSTEM
from settlement.service.audit import run_audit
from tests.support.house import Play, SteppingClock, house
from tests.support.rows import read_rows

if TYPE_CHECKING:
    from pathlib import Path

_EVENTS = "SELECT timestamp FROM event WHERE deal_id = '{}' ORDER BY version"
_BOOKED = """SELECT x.booked_at FROM ledger_tx AS x JOIN event AS e ON e.event_id = x.event_id
WHERE x.deal_id = '{}' ORDER BY e.version"""


def test_a_deal_goes_forward_although_the_clock_was_set_back(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Catches a decision stamped by the clock alone: after a step back it lies before its deal's
    last, and the audit reports the books of an honest house for ever.
    """
    clock = SteppingClock()
    with house(tmp_path, sqlite_url, clock) as services:
        play = Play(services)
        seller, buyer = play.agent("seller"), play.agent("buyer")
        deal, other = play.proof(seller), play.proof(seller)
        play.go(deal, buyer)
        play.settle(deal, seller)
        play.topup(buyer, 9_000)
        play.work()
        mandate = play.mandate(buyer, 5_000)
        ahead = services.db.read(lambda tx: tx.now)
        clock.set_by(-3_600)
        play.payout(deal, seller)
        play.go(other, buyer)
        play.revoke(mandate, buyer)
        play.work()
        report = run_audit(services.db)
    assert [one for one in report.failed() if one.number == 35] == []
    for query in (_EVENTS, _BOOKED):
        times = [row[0] for row in read_rows(sqlite_url, query.format(deal["deal_id"]))]
        assert times == sorted(times)
        assert times[-1][:20] == ahead[:20], "it stands where the deal was, to the microsecond"
    (back,) = read_rows(sqlite_url, _EVENTS.format(other["deal_id"]))[-1]
    assert back < ahead


def test_a_payout_planned_before_a_ruling_is_not_sent_after_it(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Catches stamps that are equal on a deal that is ahead: the ruling then seems not to be later
    than the payout, which goes out beside the refund; and work that waits out the clock's step,
    which gives this an hour to happen in.
    """
    clock = SteppingClock()
    with house(tmp_path, sqlite_url, clock) as services:
        play = Play(services)
        seller, buyer = play.agent("seller"), play.agent("buyer")
        deal = play.proof(seller)
        play.go(deal, buyer)
        play.settle(deal, seller)
        play.work()
        clock.set_by(-3_600)
        play.payout(deal, seller)
        play.dispute(deal, buyer)
        play.rule(deal, 0)
        play.work()
        clock.advance(10)
        play.work()
    assert read_rows(sqlite_url, "SELECT state FROM payout") == [("refused",)]
    assert read_rows(sqlite_url, "SELECT state FROM refund") == [("confirmed",)]


def test_nobody_else_stamps_a_stream_of_ours(tmp_path: Path, sqlite_url: str) -> None:
    """Catches a stream carried into the future, where all that follows on it is stamped too."""
    with house(tmp_path, sqlite_url) as services:
        record = {
            "deal_id": "sys_agent_1",
            "event_type": "NOTE",
            "timestamp": "2031-01-01T00:00:00Z",
        }
        with pytest.raises(InvalidField, match="timestamp"):
            services.engine.execute(AppendEvent(principal=SYSTEM, record=record)).unwrap()
