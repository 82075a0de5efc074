"""`settlement ledger write-off`: an operator gives up a debt, in one sentence and on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from settlement.core.operations import Refund
from settlement.core.principal import Principal, PrincipalKind
from tests.cli.running import run
from tests.support.house import Play, house
from tests.support.rows import read_rows

if TYPE_CHECKING:
    from pathlib import Path

SAYS = "SELECT payload FROM event WHERE event_type = 'RECEIVABLE_WRITTEN_OFF'"


def test_a_debt_is_written_off_by_command(tmp_path: Path, database_url: str) -> None:
    """Catches a build that forgives more than is owed, or leaves no name on record."""
    with house(tmp_path, database_url) as services:
        play = Play(services)
        seller = play.agent("seller")
        deal = play.proof(seller, 10_000)
        play.go(deal, play.agent("buyer"))
        play.settle(deal, seller)
        play.work()
        play.payout(deal, seller)
        play.work()
        operator = Principal(kind=PrincipalKind.OPERATOR)
        back = Refund(principal=operator, sent_key="r", deal_id=deal["deal_id"], amount_minor=1_000)
        services.engine.execute(back).unwrap()
        play.work()
    agent = str(seller.agent_id)
    arguments = ("ledger", "write-off", agent, "--reason", "insolvent", "--operator", "olga")
    place = {"SETTLEMENT_DATABASE": database_url}
    over = run(tmp_path, *arguments, "--amount", "10.00", "--json", **place)
    assert (over.code, over.json()["error"]) == (6, "over_write_off")
    done = run(tmp_path, *arguments, "--amount", "9.00", **place)
    assert done.code == 0, done.err
    assert "9.00 USD written off" in done.out
    (row,) = read_rows(database_url, SAYS)
    assert "olga" in row[0]
    assert "insolvent" not in row[0]
