"""A clock that is set back: chains and books go forward all the same (spec §1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        assert times[-1] <= ahead, "it stands where the deal was, and is not carried further"
    (back,) = read_rows(sqlite_url, _EVENTS.format(other["deal_id"]))[-1]
    assert back < ahead
