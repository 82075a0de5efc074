"""Refunds: who may, how much, who bears it, and what a rail's answer makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from settlement.core.operations import (
    RecordPayout,
    RecordRefund,
    Refund,
    RequestPayout,
    Settle,
    Split,
)
from settlement.core.operations.refund import REFUNDS_MAX
from settlement.core.principal import SYSTEM
from tests.support.world import (
    BUYER,
    CONFIRMED,
    HELPER,
    OPERATOR,
    REFUSED,
    SELLER,
    UNKNOWN,
    World,
    key_of,
    new_world,
    refuses,
)

if TYPE_CHECKING:
    from settlement.core.operations import RailOutcome


def refund(world: World, amount_minor: int | None = None, key: str = "k1", **more: Any) -> Any:
    given = {"principal": key_of(SELLER), "deal_id": "deal_1", **more}
    return world.run(Refund(sent_key=key, amount_minor=amount_minor, **given))


def answer(world: World, outcome: RailOutcome = CONFIRMED) -> Any:
    effect_id = world.sent(world.open_effect())
    deal_id = world.effects[effect_id].deal_id
    return world.run(
        RecordRefund(
            principal=SYSTEM, effect_id=effect_id, deal_id=deal_id, fence=7, outcome=outcome
        )
    )


def settled(gross: int = 10_000) -> World:
    world = new_world()
    world.pack(price_minor=gross)
    world.go()
    world.pay(amount_minor=gross)
    world.settle()
    return world


def by_balance(gross: int = 10_000) -> World:
    """A deal that the buyer's own balance paid."""
    world = new_world()
    world.fund(BUYER, gross)
    world.pack(price_minor=gross)
    world.go()
    world.settle(principal=key_of(BUYER), provider="balance")
    return world


def paid_out(world: World) -> None:
    world.run(RequestPayout(principal=key_of(SELLER), deal_id="deal_1", agent_id=SELLER))
    effect_id = world.sent(world.open_effect())
    world.run(
        RecordPayout(
            principal=SYSTEM, effect_id=effect_id, deal_id="deal_1", fence=7, outcome=CONFIRMED
        )
    )


def test_a_full_refund_to_a_rail_takes_back_fee_and_net_and_ends_the_deal() -> None:
    """Catches a build that refunds the net only, or keeps the fee."""
    world = settled()
    first = refund(world)
    assert first["state"] == "planned"
    assert first["amount_minor"] == 10_000
    assert world.deals["deal_1"].state == "settled"
    assert world.books.available(f"entity:{SELLER}") == 0
    answer(world)
    assert world.deals["deal_1"].state == "refunded"
    assert world.books.posted["clearing:simulated"] == 0
    assert world.books.posted["fee_protocol:platform"] == 0
    assert world.books.posted["escrow:deal_1"] == 0
    assert world.types()[-3:] == ["REFUND_INITIATED", "REFUNDED", "OUTCOME_RECORDED"]
    assert world.volumes[-1].total_minor == 0


def test_the_effect_names_the_payment_it_refunds() -> None:
    """Catches a build that leaves the rail to guess which of several payments is meant."""
    world = settled()
    refund(world)
    effect = world.effects[world.open_effect()]
    assert (effect.kind, effect.destination, effect.amount_minor) == ("refund", "ch_1", 10_000)
    assert effect.obligation_key.startswith("refund:")


def test_a_refused_refund_leaves_everything_as_it_was() -> None:
    """Catches a build that posts the opposite legs before the rail has given the money back."""
    world = settled()
    before = dict(world.books.posted)
    refund(world)
    answer(world, REFUSED)
    assert {k: v for k, v in world.books.posted.items() if v} == {
        k: v for k, v in before.items() if v
    }
    assert not +world.books.held
    assert world.deals["deal_1"].state == "settled"
    stored = json.loads(world.claims[SELLER, "refund", "k1"])
    assert stored["error"]["code"] == "refund_refused"
    assert refund(world, key="k2")["state"] == "planned"


def test_an_unknown_outcome_keeps_the_hold() -> None:
    """Catches a build that frees the money while the rail may be giving it back."""
    world = settled()
    refund(world, 4_000)
    answer(world, UNKNOWN)
    assert sum((+world.books.held).values()) == 4_000
    refuses(world, "over_refund", lambda: refund(world, 6_001, "k2"))
    assert refund(world, 6_000, "k3")["state"] == "planned"


def test_partial_refunds_sum_exactly_and_never_pass_the_gross() -> None:
    """Catches a build that rounds each refund by itself, or forgets the ones before."""
    world = by_balance(1_001)
    for n in range(7):
        refund(world, 143, f"k{n}")
    assert world.deals["deal_1"].state == "refunded"
    assert world.books.posted["escrow:deal_1"] == 0
    refuses(world, "illegal_transition", lambda: refund(world, 1, "again"))


def test_a_refund_goes_to_the_balance_that_paid_at_once() -> None:
    """Catches a build that sends a balance's money to a rail."""
    world = by_balance()
    had = world.books.available(f"entity:{BUYER}")
    result = refund(world, 2_500)
    assert (result["state"], result["source"]) == ("confirmed", "balance")
    assert world.books.available(f"entity:{BUYER}") == had + 2_500
    assert not world.books.obligations


def test_what_was_paid_out_is_owed_to_us() -> None:
    """Catches a build that overdraws the seller, or in which nobody can refund what it spent."""
    world = settled()
    paid_out(world)
    refund(world, principal=OPERATOR)
    answer(world)
    assert world.deals["deal_1"].state == "refunded"
    assert world.books.posted[f"receivable:{SELLER}"] == -9_692
    assert world.books.posted[f"entity:{SELLER}"] == 0


def test_a_seller_who_was_paid_out_does_not_refund_with_our_money() -> None:
    """Catches the pump: paid out, then refunded to a friend's card, and owing it for ever."""
    world = settled()
    paid_out(world)
    refuses(world, "refund_needs_operator", lambda: refund(world))
    refuses(world, "refund_needs_operator", lambda: refund(world, 2, "k2"))
    world.fund(SELLER, 2_000)
    refuses(world, "refund_needs_operator", lambda: refund(world, 10_000, "k3"))
    assert refund(world, 3_000, "k4")["state"] == "planned"
    assert world.books.posted[f"receivable:{SELLER}"] == 0


def test_a_payout_pays_what_a_refund_left() -> None:
    """Catches a build that pays the whole net out of the money of other deals."""
    world = settled()
    refund(world, 5_000)
    refuses(
        world,
        "refund_open",
        lambda: world.run(
            RequestPayout(principal=key_of(SELLER), deal_id="deal_1", agent_id=SELLER)
        ),
    )
    answer(world)
    result = world.run(RequestPayout(principal=key_of(SELLER), deal_id="deal_1", agent_id=SELLER))
    assert result["amount_minor"] == 4_846
    refuses(world, "payout_open", lambda: refund(world, 1, "k2"))


def test_nothing_is_paid_out_when_all_went_back() -> None:
    world = by_balance()
    refund(world, 9_999)
    ask = RequestPayout(principal=key_of(SELLER), deal_id="deal_1", agent_id=SELLER)
    if world.books.available(f"entity:{SELLER}"):
        world.run(ask)
    else:
        refuses(world, "nothing_owed", lambda: world.run(ask))


def test_before_the_settle_the_escrow_goes_back() -> None:
    """Catches a build that settles, or charges again, what has gone back."""
    world = new_world()
    world.pack()
    world.go()
    world.pay(amount_minor=9_900)
    refund(world, 900)
    answer(world)
    assert world.deals["deal_1"].state == "go_approved"
    refuses(world, "payment_not_authorized", world.settle)
    refund(world, key="k2")
    answer(world)
    assert world.deals["deal_1"].state == "refunded"
    assert world.books.posted["escrow:deal_1"] == 0


def test_a_surplus_goes_back_from_escrow_first() -> None:
    """Catches a build that takes a surplus from the seller, or leaves it for ever."""
    world = new_world()
    world.pack(price_minor=10_000)
    world.go()
    world.pay(amount_minor=12_345)
    world.settle()
    net = world.books.available(f"entity:{SELLER}")
    refund(world, 2_345)
    answer(world)
    assert world.books.posted["escrow:deal_1"] == 0
    assert world.books.available(f"entity:{SELLER}") == net
    assert world.deals["deal_1"].state == "settled"


def test_the_newest_of_several_payments_goes_back_first() -> None:
    """Catches a build that asks the rail to refund a payment of more than it was."""
    world = new_world()
    world.pack(price_minor=10_000)
    world.go()
    world.pay(amount_minor=10_000, n=1)
    world.pay(amount_minor=300, n=2)
    refuses(world, "over_refund", lambda: refund(world, 301))
    refund(world)
    assert world.effects[world.open_effect()].destination == "ch_2"
    answer(world)
    refund(world, key="k2")
    assert world.effects[world.open_effect()].destination == "ch_1"
    answer(world)
    assert world.deals["deal_1"].state == "refunded"


def test_payees_bear_a_refund_in_proportion() -> None:
    world = new_world()
    world.pack(price_minor=10_000)
    world.go()
    world.pay(amount_minor=10_000)
    shares = ((SELLER, "0.5"), (HELPER, "0.5"))
    world.run(
        Settle(
            principal=key_of(SELLER),
            deal_id="deal_1",
            splits=tuple(Split(agent_id=who, role="x", share=s) for who, s in shares),
        )
    )
    refund(world, 5_000)
    answer(world)
    assert world.books.available(f"entity:{SELLER}") == 2_423
    assert world.books.available(f"entity:{HELPER}") == 2_423
    assert world.books.posted["fee_protocol:platform"] == 154


def test_only_the_seller_and_operators_refund() -> None:
    world = settled()
    for who in (key_of(BUYER), key_of(HELPER)):
        refuses(world, "party_mismatch", partial(refund, world, principal=who))
    refuses(world, "deal_not_found", lambda: refund(world, deal_id="deal_x"))
    assert refund(world, principal=OPERATOR)["state"] == "planned"


def test_a_deal_is_refunded_in_so_many_parts_and_the_rest_at_once() -> None:
    """Catches refunds of a cent without end, each dearer than the one before, and a limit that
    keeps the rest of the money from going back, or binds the operator too."""
    world = by_balance()
    for n in range(REFUNDS_MAX):
        refund(world, 1, key=f"k{n}")
    refuses(world, "refunds_spent", partial(refund, world, 1, key="more"))
    refuses(world, "over_refund", partial(refund, world, 10_001, key="too much"))
    assert refund(world, 1, key="op", principal=OPERATOR)["state"] == "confirmed"
    assert refund(world, key="rest")["amount_minor"] == 10_000 - REFUNDS_MAX - 1
    assert world.deals["deal_1"].state == "refunded"


def test_a_rail_that_refuses_the_rest_is_not_asked_for_ever() -> None:
    """Catches a way around the limit: the rest of the money, asked for and refused without end."""
    world = settled()
    refund(world)
    answer(world, REFUSED)
    first = next(iter(world.refunds.values()))
    for n in range(2 * REFUNDS_MAX):
        world.refunds[f"ref_{n}"] = replace(first, refund_id=f"ref_{n}")
    refuses(world, "refunds_spent", partial(refund, world, key="again"))
    assert refund(world, key="op", principal=OPERATOR)["state"] == "planned"


def test_an_operators_refund_counts_against_the_seller() -> None:
    world = settled()
    refund(world, 100, principal=OPERATOR)
    answer(world)
    assert world.bad_outcomes["deal_1"].outcome == "refunded"
    assert world.payload("OUTCOME_RECORDED")["outcome"] == "refunded"


@pytest.mark.parametrize("state", ["created", "proof_ready", "settling", "refunded", "cancelled"])
def test_there_is_nothing_to_refund_elsewhere(state: str) -> None:
    world = settled()
    world.deal_in(state)
    refuses(world, "illegal_transition", lambda: refund(world))


def test_who_has_paid_once_is_not_made_to_pay_twice() -> None:
    """Catches a seller who gives a cent of the payment back, and then has the whole gross taken
    from the buyer's balance as well.
    """
    world = new_world()
    world.fund(BUYER, 20_000)
    world.pack(price_minor=10_000)
    world.go()
    world.pay(amount_minor=10_000)
    refund(world, 1)
    for principal in (key_of(SELLER), OPERATOR):
        again = partial(world.settle, principal=principal, provider="balance")
        refuses(world, "payment_not_authorized", again)
    before = world.books.available(f"entity:{BUYER}")
    world.settle(principal=key_of(BUYER), provider="balance")
    assert world.books.available(f"entity:{BUYER}") == before - 10_000, "of its own will it may"
