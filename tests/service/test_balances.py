"""Balance checkpoints: sums of the log so far, made of what is new, in both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from settlement.service.audit import Status, run_audit
from settlement.service.balances import Balances
from tests.support.house import Play, house
from tests.support.raw import open_raw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SUMS = """
SELECT a.ref,
  (SELECT coalesce(sum(amount_minor), 0) FROM transfer AS t
    WHERE t.debit_ref = a.ref AND t.phase IN ('final', 'post')),
  (SELECT coalesce(sum(amount_minor), 0) FROM transfer AS t
    WHERE t.credit_ref = a.ref AND t.phase IN ('final', 'post'))
FROM account AS a WHERE a.guard = 'none' ORDER BY a.ref
"""
_LAST = """
SELECT ref, debits_posted, credits_posted FROM balance_checkpoint
WHERE tree_size = (SELECT max(tree_size) FROM balance_checkpoint) ORDER BY ref
"""


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    """A house with nothing in it."""
    with house(tmp_path, database_url) as services:
        yield Play(services)


def _paid_out(play: Play, name: str) -> None:
    seller, buyer = play.agent(f"{name} seller"), play.agent(f"{name} buyer")
    deal = play.proof(seller)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    play.payout(deal, seller)
    play.work()


@pytest.mark.parametrize("batch", [3, 20_000])
def test_a_checkpoint_is_the_sum_of_all_transfers_so_far(
    play: Play, database_url: str, batch: int
) -> None:
    """Catches a checkpoint that forgets the one before it, or counts a leaf twice."""
    balances = Balances(play.services.db, batch)
    reached = []
    for name in ("first", "second"):
        _paid_out(play, name)
        reached.append(balances.step())
        with open_raw(database_url) as raw:
            assert raw.rows(_LAST) == raw.rows(_SUMS)
    assert 0 < reached[0] < reached[1]
    report = run_audit(play.services.db)
    assert report.clean, report.failed()
    assert next(one.status for one in report.findings if one.number == 9) is Status.OK


def test_without_news_nothing_is_written(play: Play, database_url: str) -> None:
    """Catches a job that fills the table while nothing happens."""
    balances = Balances(play.services.db)
    assert balances.step() == 0
    _paid_out(play, "only")
    reached = balances.step()
    with open_raw(database_url) as raw:
        rows = raw.rows("SELECT tree_size, ref FROM balance_checkpoint ORDER BY ref")
    assert balances.step() == reached
    with open_raw(database_url) as raw:
        assert raw.rows("SELECT tree_size, ref FROM balance_checkpoint ORDER BY ref") == rows
