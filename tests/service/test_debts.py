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
from tests.support.effect_process import run_step
from tests.support.house import Play, house
from tests.support.logs import raw_sql
from tests.support.rows import read_rows

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
    play.refund(deal, OPERATOR)  # a seller gives back only what is there
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
    with pytest.raises(OwesMore):
        play.payout(small, seller)
    large = settled(play, seller, 20_000)
    available, owes = sums(play, seller)
    assert owes == 0
    paid = play.payout(large, seller)
    assert paid["amount_minor"] == available
    play.work()
    assert sums(play, seller) == (0, 0)
    with pytest.raises(NothingOwed):
        play.payout(small, seller)
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
    play.refund(first, OPERATOR)
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
    play.refund(first, OPERATOR)
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


# --- payouts that must not go out ----------------------------------------------------------------


def payouts(play: Play) -> list[int]:
    return [one.amount_minor for one in play.rail.entries() if one.kind == "payout"]


def asked_again(play: Play, url: str) -> None:
    raw_sql(url, "UPDATE job SET run_at_us = 0")
    play.work()


def test_a_planned_payout_of_a_disputed_deal_waits_and_goes_out_if_the_seller_wins(
    play: Play, database_url: str
) -> None:
    """Catches a build that sends what was planned a moment before the dispute."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller, 10_000)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    net, _ = sums(play, seller)
    play.payout(deal, seller)
    play.dispute(deal, buyer)
    play.work()
    assert payouts(play) == []
    shown = "SELECT waiting_for, state FROM payout"
    assert read_rows(database_url, shown) == [("disputed", "planned")]
    play.rule(deal, 1_000_000)
    asked_again(play, database_url)
    assert payouts(play) == [net]
    assert read_rows(database_url, shown) == [(None, "confirmed")]
    sound(play, deal)


@pytest.mark.parametrize(("seller_ppm", "left"), [(500_000, 4_846), (0, 0)])
def test_a_payout_planned_before_a_ruling_is_dropped_and_asked_for_anew(
    play: Play, database_url: str, seller_ppm: int, left: int
) -> None:
    """Catches a build that pays out the whole net although a ruling has taken part of it."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller, 10_000)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    play.payout(deal, seller)
    play.dispute(deal, buyer)
    play.rule(deal, seller_ppm)
    asked_again(play, database_url)
    assert payouts(play) == []
    said = "SELECT actor_id, payload FROM event WHERE event_type = 'PAYOUT_FAILED'"
    (row,) = read_rows(database_url, said)
    assert row[0] == "system"
    assert '"went_back"' in row[1]
    if left:
        assert play.payout(deal, seller)["amount_minor"] == left
        play.work()
    assert payouts(play) == ([left] if left else [])
    available, owes = sums(play, seller)
    assert available == owes, "what it still owes is there to be taken"
    sound(play, deal)


def test_a_payout_marked_by_a_worker_that_died_is_not_sent_while_its_deal_is_disputed(
    play: Play, tmp_path: Path, database_url: str
) -> None:
    """Catches a build that looks at the deal before the first sending only."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller, 10_000)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    net, _ = sums(play, seller)
    play.payout(deal, seller)
    assert run_step(tmp_path, database_url, "effect.before_send:kill").returncode == -9
    play.dispute(deal, buyer)
    raw_sql(database_url, "UPDATE job SET lease_expires_us = 1 WHERE status = 'leased'")
    asked_again(play, database_url)
    assert payouts(play) == []
    play.rule(deal, 1_000_000)
    asked_again(play, database_url)
    assert payouts(play) == [net]
    sound(play, deal)


def test_a_ruling_after_the_settlement_leaves_a_payout_of_the_rest(play: Play) -> None:
    """Catches a build that still asks for the whole net, which nobody has any more: the payee's
    part could never be paid out."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller, 10_000)
    play.go(deal, buyer)
    play.settle(deal, seller)
    play.work()
    play.dispute(deal, buyer)
    play.rule(deal, 500_000)
    play.work()
    left, owes = sums(play, seller)
    assert (left > 0, owes) == (True, 0)
    assert play.payout(deal, seller)["amount_minor"] == left
    play.work()
    assert (payouts(play), sums(play, seller)) == ([left], (0, 0))
    sound(play, deal)


# --- mandates ------------------------------------------------------------------------------------


def test_a_refund_returns_to_the_mandate_that_paid_and_after_its_end_to_the_buyer(
    play: Play,
) -> None:
    """Catches a build that refunds a mandate's money to somewhere else, or leaves it locked in a
    mandate that was revoked."""
    seller, buyer = play.agent("seller"), play.agent("buyer")
    play.topup(buyer, 30_000)
    play.work()
    mandate = play.mandate(buyer, 20_000)
    deal = play.proof(seller, 10_000)
    play.receipt(deal)
    play.auto_go(deal, buyer, mandate)
    play.settle(deal, seller)
    assert in_mandate(play, mandate) == 10_000
    first = play.refund(deal, seller, 4_000, "r1")
    assert (first["state"], first["source"]) == ("confirmed", "mandate")
    assert in_mandate(play, mandate) == 14_000
    assert play.revoke(mandate, buyer)["returned_minor"] == 14_000
    assert sums(play, buyer)[0] == 24_000
    play.refund(deal, seller, key="r2")
    assert in_mandate(play, mandate) == 6_000
    assert play.revoke(mandate, buyer)["returned_minor"] == 6_000
    assert play.revoke(mandate, buyer)["returned_minor"] == 0
    assert (in_mandate(play, mandate), sums(play, buyer)[0]) == (0, 30_000)
    sound(play, deal)


def in_mandate(play: Play, mandate: dict[str, Any]) -> int:
    ref = f"mandate:{mandate['mandate_id']}"
    rows = read_rows(
        play.services.settings.database,
        f"SELECT credits_posted - debits_posted FROM account WHERE ref = '{ref}'",
    )
    return int(rows[0][0])
