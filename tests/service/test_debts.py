"""What agents owe: taken out of what comes in, before it can be spent or paid out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.errors import NothingOwed, NotOwner, OverWriteOff, OwesMore
from settlement.core.operations import WriteOff
from settlement.core.principal import Principal, PrincipalKind
from settlement.service import reputation
from settlement.service.audit import run_audit
from settlement.service.replay import replay_deal
from tests.support.house import Play, house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPERATOR = Principal(kind=PrincipalKind.OPERATOR)
NET = 9_693  # of 100.00


@pytest.fixture
def play(tmp_path: Path, database_url: str) -> Iterator[Play]:
    with house(tmp_path, database_url) as services:
        yield Play(services)


def sums(play: Play, agent: Principal) -> tuple[int, int]:
    """What an agent has available, and what it owes."""
    found = reputation.balances(play.services.db, str(agent.agent_id), OPERATOR)["balances"]

    def of(prefix: str) -> int:
        return sum(one["available_minor"] for one in found if one["account"].startswith(prefix))

    return of("entity:"), of("receivable:")


def settled(play: Play, seller: Principal, price_minor: int = 10_000) -> dict[str, Any]:
    deal = play.proof(seller, price_minor)
    play.go(deal, play.agent("buyer"))
    play.settle(deal, seller)
    play.work()
    return deal


def in_debt(play: Play) -> tuple[Principal, int]:
    """A seller whose paid-out net went back: it owes all of it."""
    seller = play.agent("seller")
    deal = settled(play, seller)
    net, _ = sums(play, seller)
    play.payout(deal, seller)
    play.work()
    play.refund(deal, seller)
    play.work()
    assert sums(play, seller) == (0, net)
    return seller, net


def sound(play: Play, *deals: dict[str, Any]) -> None:
    """The audit finds nothing but the cover, which a debt is a hole in."""
    assert {check.number for check in run_audit(play.services.db).failed()} <= {33}
    for deal in deals:
        assert replay_deal(play.services.db, deal["deal_id"])["verdict"] == "clean"


def test_a_settlement_pays_the_debt_first_and_the_payout_pays_the_rest(play: Play) -> None:
    """Catches a build that pays a net out while its payee owes, or then owes it for ever."""
    seller, net = in_debt(play)
    small = settled(play, seller, 4_000)
    _, left = sums(play, seller)
    assert 0 < left < net
    with pytest.raises(NothingOwed):
        play.payout(small, seller)
    large = settled(play, seller, 20_000)
    available, owes = sums(play, seller)
    assert owes == 0
    paid = play.payout(large, seller)
    assert paid["amount_minor"] == available
    play.work()
    assert sums(play, seller) == (0, 0)
    sound(play, small, large)


def test_a_top_up_pays_the_debt_first(play: Play) -> None:
    """Catches a build whose debtor buys with money that is owed."""
    seller, net = in_debt(play)
    play.topup(seller, net - 100, "t1")
    play.work()
    assert sums(play, seller) == (0, 100)
    play.topup(seller, 1_000, "t2")
    play.work()
    assert sums(play, seller) == (900, 0)
    assert play.topup(seller, 1_000, "t2")["recovered_minor"] == 100
    sound(play)


def test_a_debt_from_another_deal_is_kept_from_a_payout(play: Play) -> None:
    """Catches a build that recovers at settlements only: what is owed since is paid out."""
    seller = play.agent("seller")
    first = settled(play, seller)
    play.payout(first, seller)
    play.work()
    second = settled(play, seller, 20_000)
    available, _ = sums(play, seller)
    play.payout(second, seller)  # held: what goes back now has nothing to come from
    play.misbehave("decline", "payout:")
    play.refund(first, seller)
    play.work()
    assert sums(play, seller)[1] > 0
    play.behave()
    owes = sums(play, seller)[1]
    paid = play.payout(second, seller)
    assert paid["amount_minor"] == available - owes
    play.work()
    assert sums(play, seller) == (0, 0)
    sound(play, first, second)


def test_a_debt_as_large_as_the_net_refuses_the_payout(play: Play) -> None:
    """Catches a build that plans a payout of nothing, or of what is owed."""
    seller = play.agent("seller")
    first = settled(play, seller, 20_000)
    play.payout(first, seller)
    play.work()
    second = settled(play, seller, 5_000)
    play.payout(second, seller)
    play.misbehave("decline", "payout:")
    play.refund(first, seller)
    play.work()
    play.behave()
    with pytest.raises(OwesMore):
        play.payout(second, seller)
    sound(play, first, second)


def write_off(play: Play, agent: Principal, minor: int, by: Principal = OPERATOR) -> dict[str, Any]:
    operation = WriteOff(
        principal=by,
        agent_id=str(agent.agent_id),
        asset="USD/2",
        amount_minor=minor,
        operator="ops",
        reason_hash="a" * 64,
    )
    return play.services.engine.execute(operation).unwrap()


def test_an_operator_writes_off_what_will_not_be_paid(play: Play) -> None:
    """Catches a build that forgives more than is owed, or lets the debtor forgive itself."""
    seller, net = in_debt(play)
    with pytest.raises(NotOwner):
        write_off(play, seller, 1, by=seller)
    for minor in (net + 1, 0):
        with pytest.raises(OverWriteOff):
            write_off(play, seller, minor)
    assert write_off(play, seller, net - 1)["owes_minor"] == 1
    assert sums(play, seller) == (0, 1)
    settled(play, seller)
    assert sums(play, seller)[1] == 0
    sound(play)
