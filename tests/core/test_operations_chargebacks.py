"""Chargebacks: a rail takes a payment back by itself, and the books follow."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.operations import RecordChargeback, RequestPayout, Settle, Split
from settlement.core.principal import SYSTEM
from tests.core.test_operations_disputes import answer_all, dispute, paid, rule
from tests.core.test_operations_refunds import answer, paid_out, refund, settled
from tests.support.world import HELPER, SELLER, World, key_of, refuses

if TYPE_CHECKING:
    from collections.abc import Callable


def taken(world: World, amount_minor: int = 10_000, rail_ref: str = "ch_1") -> dict[str, Any]:
    return world.run(
        RecordChargeback(
            principal=SYSTEM,
            deal_id="deal_1",
            amount_minor=amount_minor,
            rail="simulated",
            rail_ref=rail_ref,
            message_id="msg_cb",
        )
    )


def test_the_escrow_gives_first() -> None:
    """Catches a build that lets the seller owe what was never given to it."""
    world = paid()
    taken(world, 4_000)
    assert world.books.posted["escrow:deal_1"] == 6_000
    assert world.books.posted["clearing:simulated"] == -6_000
    refuses(world, "payment_not_authorized", world.settle)


def test_after_a_settle_the_payee_gives_what_it_has_and_owes_the_rest() -> None:
    """Catches a build that overdraws a payee, or takes back the fee."""
    world = settled()
    taken(world)
    assert world.books.posted[f"entity:{SELLER}"] == 0
    assert world.books.posted[f"receivable:{SELLER}"] == -308
    assert world.books.posted["fee_protocol:platform"] == 308
    assert world.payload("OUTCOME_RECORDED")["outcome"] == "dispute_lost"
    assert world.bad_outcomes["deal_1"].outcome == "dispute_lost"
    ask = RequestPayout(principal=key_of(SELLER), deal_id="deal_1", agent_id=SELLER)
    refuses(world, "nothing_owed", lambda: world.run(ask))


def test_what_was_paid_out_is_owed() -> None:
    world = settled()
    paid_out(world)
    taken(world, 1_000)
    assert world.books.posted[f"receivable:{SELLER}"] == -1_000


def test_payees_bear_it_in_proportion() -> None:
    world = paid()
    shares = ((SELLER, "0.75"), (HELPER, "0.25"))
    splits = tuple(Split(agent_id=who, role="x", share=share) for who, share in shares)
    world.run(Settle(principal=key_of(SELLER), deal_id="deal_1", splits=splits))
    taken(world, 4_000)
    assert world.books.posted[f"entity:{SELLER}"] == 7_269 - 3_000
    assert world.books.posted[f"entity:{HELPER}"] == 2_423 - 1_000


@pytest.mark.parametrize("amount", [6_001, 10_000])
def test_money_that_went_back_is_not_taken_back_again(amount: int) -> None:
    """Catches a build that counts refunds and chargebacks apart."""
    world = settled()
    refund(world, 4_000)
    answer(world)
    refuses(world, "over_refund", partial(taken, world, amount))
    taken(world, 6_000)
    refuses(world, "over_refund", lambda: refund(world, 1, "k2"))


def test_a_payment_nobody_knows_takes_nothing() -> None:
    world = settled()
    refuses(world, "over_refund", lambda: taken(world, 1, "ch_9"))


@pytest.mark.parametrize("ppm", [0, 500_000, 1_000_000])
@pytest.mark.parametrize("amount", [4_000, 10_000])
@pytest.mark.parametrize("make", [paid, settled])
def test_a_ruling_gives_nobody_what_the_bank_has_taken(
    make: Callable[[], World], amount: int, ppm: int
) -> None:
    """Catches a build that leaves disputed money alone: the seller owes what it never had, and the
    ruling gives it money that is gone, or can never be carried out."""
    world = make()
    dispute(world)
    taken(world, amount)
    fee = world.books.posted["fee_protocol:platform"]
    whole = world.books.posted["dispute:deal_1"]
    assert whole == max(10_000 - fee - amount, 0)
    assert world.books.posted[f"receivable:{SELLER}"] == -max(amount + fee - 10_000, 0)
    rule(world, ppm)
    answer_all(world)
    posted = world.books.posted
    assert posted["escrow:deal_1"] == posted["dispute:deal_1"] == 0
    kept = posted[f"entity:{SELLER}"] + posted["fee_protocol:platform"]
    assert kept + posted[f"receivable:{SELLER}"] == -posted["clearing:simulated"]
    assert kept + posted[f"receivable:{SELLER}"] == (10_000 - amount) * ppm // 1_000_000
    assert world.deals["deal_1"].state == ("settled" if ppm and amount < 10_000 else "refunded")
