"""Disputes, rulings and cancelling: who may, what moves, and that every cent is accounted for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.core.errors import SettlementError
from settlement.core.operations import (
    Cancel,
    OpenDispute,
    RecordChargeback,
    RecordRefund,
    Refund,
    RequestPayout,
    ResolveDispute,
    Settle,
    Split,
)
from settlement.core.principal import SYSTEM
from tests.core.test_operations_refunds import answer, by_balance, paid_out, refund, settled
from tests.support.world import (
    BUYER,
    CONFIRMED,
    HELPER,
    NOBODY,
    OPERATOR,
    REFUSED,
    SELLER,
    STRANGER,
    World,
    key_of,
    new_world,
    refuses,
)

if TYPE_CHECKING:
    from settlement.core.operations import RailOutcome
    from settlement.core.principal import Principal


def dispute(world: World, who: Principal | None = None, **more: Any) -> dict[str, Any]:
    given = {"principal": who or key_of(BUYER), "deal_id": "deal_1", **more}
    return world.run(OpenDispute(**given))


def rule(world: World, seller_ppm: int, **more: Any) -> dict[str, Any]:
    given = {"principal": OPERATOR, "deal_id": "deal_1", "seller_ppm": seller_ppm, **more}
    return world.run(ResolveDispute(**given))


def cancel(world: World, who: Principal, **more: Any) -> dict[str, Any]:
    return world.run(Cancel(principal=who, deal_id="deal_1", **more))


def paid(gross: int = 10_000) -> World:
    """An approved deal whose money is in escrow."""
    world = new_world()
    world.pack(price_minor=gross)
    world.go()
    world.pay(amount_minor=gross)
    return world


def answer_all(world: World, outcome: RailOutcome = CONFIRMED) -> None:
    for effect in [e for e in world.effects.values() if e.state == "planned"]:
        effect_id = world.sent(effect.effect_id)
        world.run(
            RecordRefund(
                principal=SYSTEM, effect_id=effect_id, deal_id="deal_1", fence=7, outcome=outcome
            )
        )


# --- disputes ------------------------------------------------------------------------------------


def test_before_a_settle_the_escrow_waits_for_the_ruling() -> None:
    """Catches a build that settles or refunds disputed money."""
    world = paid()
    opened = dispute(world)
    assert opened["dispute"]["status"] == "opened"
    assert opened["dispute"]["amount_minor"] == 10_000
    assert world.books.posted["dispute:deal_1"] == 10_000
    refuses(world, "illegal_transition", world.settle)
    refuses(world, "disputed", lambda: refund(world))
    rule(world, 500_000)
    assert world.deals["deal_1"].state == "settled"
    assert world.settlements["deal_1"].settlement.gross_minor == 5_000
    answer_all(world)
    assert world.books.posted["clearing:simulated"] == -5_000
    assert world.books.posted["escrow:deal_1"] == world.books.posted["dispute:deal_1"] == 0


def test_after_a_settle_what_the_payee_has_waits_and_payouts_stop() -> None:
    """Catches a build that lets the payee take the disputed money out."""
    world = settled()
    dispute(world)
    assert world.books.available(f"entity:{SELLER}") == 0
    ask = RequestPayout(principal=key_of(SELLER), deal_id="deal_1", agent_id=SELLER)
    refuses(world, "disputed", lambda: world.run(ask))
    rule(world, 1_000_000)
    assert world.deals["deal_1"].state == "settled"
    assert world.books.available(f"entity:{SELLER}") == 9_692
    assert "deal_1" not in world.bad_outcomes
    assert world.run(ask)["amount_minor"] == 9_692


def test_a_ruling_for_the_buyer_returns_all_fees_included() -> None:
    """Catches a build that refunds the net only, or keeps the fee of what it took back."""
    world = by_balance()
    had = world.books.available(f"entity:{BUYER}")
    dispute(world)
    result = rule(world, 0)
    assert result["status"] == "refunded"
    assert world.books.available(f"entity:{BUYER}") == had + 10_000
    assert world.bad_outcomes["deal_1"].outcome == "dispute_lost"
    assert world.volumes[-1].delta_minor == -10_000


def test_what_was_paid_out_before_the_dispute_is_owed() -> None:
    world = settled()
    paid_out(world)
    opened = dispute(world)
    assert opened["dispute"]["amount_minor"] == 0
    assert "tx_id" not in world.payload("DISPUTE_OPENED")
    rule(world, 0)
    answer_all(world)
    assert world.books.posted[f"receivable:{SELLER}"] == -9_692
    assert world.deals["deal_1"].state == "refunded"


def test_a_refused_ruling_leaves_the_money_in_escrow_until_it_is_sent_again() -> None:
    """Catches a build that gives disputed money to the seller because a rail said no."""
    world = paid()
    dispute(world)
    rule(world, 0)
    answer_all(world, REFUSED)
    assert world.deals["deal_1"].state == "disputed"
    assert world.books.available("escrow:deal_1") == 10_000
    refuses(world, "disputed", lambda: refund(world))
    refund(world, principal=OPERATOR)
    answer(world)
    assert world.deals["deal_1"].state == "refunded"


def test_a_dispute_is_opened_once_by_buyer_or_seller() -> None:
    world = paid()
    for who in (key_of(STRANGER), NOBODY):
        refuses(world, "party_mismatch", partial(dispute, world, who))
    refuses(world, "deal_not_found", lambda: dispute(world, deal_id="deal_x"))
    dispute(world, key_of(SELLER))
    refuses(world, "illegal_transition", lambda: dispute(world))


def test_there_is_no_dispute_about_nothing_or_too_late() -> None:
    world = new_world()
    world.pack()
    world.go()
    refuses(world, "illegal_transition", lambda: dispute(world))
    world = settled()
    world.now_us += 31 * 86_400_000_000
    refuses(world, "dispute_window_closed", lambda: dispute(world))
    world = settled()
    refund(world, 100)
    refuses(world, "refund_open", lambda: dispute(world))


def test_rulings_are_an_operators_and_from_nothing_to_all() -> None:
    world = paid(40)
    refuses(world, "illegal_transition", lambda: rule(world, 0))
    dispute(world)
    refuses(world, "party_mismatch", lambda: rule(world, 0, principal=key_of(BUYER)))
    for ppm in (-1, 1_000_001, 500_000):  # half of 0.40 is less than its fees
        refuses(world, "bad_share", partial(rule, world, ppm))
    rule(world, 0)
    refuses(world, "illegal_transition", lambda: rule(world, 0))


# --- cancelling ----------------------------------------------------------------------------------


def test_a_deal_without_money_is_cancelled_by_its_parties() -> None:
    for who in (key_of(SELLER), key_of(BUYER), OPERATOR):
        world = new_world()
        world.pack()
        world.go()
        assert cancel(world, who)["status"] == "cancelled"
        refuses(world, "illegal_transition", world.settle)
        refuses(world, "illegal_transition", partial(cancel, world, who))


def test_money_is_refunded_not_cancelled_away() -> None:
    """Catches a build that strands a payment in a cancelled deal."""
    world = paid()
    refuses(world, "deal_has_money", lambda: cancel(world, key_of(SELLER)))
    refuses(world, "party_mismatch", lambda: cancel(world, key_of(STRANGER)))
    refund(world)
    refuses(world, "deal_has_money", lambda: cancel(world, key_of(SELLER)))
    answer(world)
    refuses(world, "illegal_transition", lambda: cancel(world, key_of(SELLER)))


# --- any sequence --------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("refund"), st.integers(1, 4_000)),
        st.tuples(st.just("refund_all"), st.just(0)),
        st.tuples(st.just("answer"), st.sampled_from([0, 0, 0, 1])),
        st.tuples(st.just("settle"), st.just(0)),
        st.tuples(st.just("payout"), st.sampled_from([0, 0, 1])),
        st.tuples(st.just("dispute"), st.just(0)),
        st.tuples(st.just("chargeback"), st.sampled_from([0, 1, 777, 1_500])),
        st.tuples(st.just("rule"), st.sampled_from([0, 1, 333_333, 500_000, 999_999, 1_000_000])),
    ),
    min_size=3,
    max_size=14,
)


@given(
    gross=st.integers(200, 12_000),
    surplus=st.sampled_from([0, 0, 1, 777]),
    balance=st.booleans(),
    payees=st.integers(1, 3),
    steps=STEPS,
)
@settings(max_examples=250, deadline=None)
def test_whatever_goes_back_the_books_balance(
    *, gross: int, surplus: int, balance: bool, payees: int, steps: list[tuple[str, int]]
) -> None:
    """Any refunds, disputes, rulings, payouts and chargebacks over any settlement.

    The auditor recounts every leg: nobody below zero but as a receivable, nobody gets more back
    than it gave. At the end, what every source is short of is what the payees and the fees have.
    """
    world = new_world()
    if balance:
        world.fund(BUYER, 25_000)
    start = world.books.available(f"entity:{BUYER}")
    world.pack(price_minor=gross)
    world.go()
    if not balance:
        world.pay(amount_minor=gross)
        if surplus:
            world.pay(amount_minor=surplus, n=2)
    rail_had = -world.books.posted["clearing:simulated"]
    fees_had = world.books.posted["fee_protocol:platform"]
    for n, (verb, value) in enumerate(steps):
        try:
            _step(world, verb, value, n, payees, balance=balance)
        except SettlementError:
            continue
    answer_all_kinds(world)
    books = world.books
    given_minor = rail_had + (start - books.available(f"entity:{BUYER}") if balance else 0)
    out = sum(p.amount_minor for p in world.payouts.values() if p.state == "confirmed")
    back = 0 if balance else rail_had + books.posted["clearing:simulated"] - out
    agents = sum(
        books.posted[f"{kind}:{who}"]
        for kind in ("entity", "receivable")
        for who in (SELLER, HELPER, STRANGER)
    )
    left = books.posted["escrow:deal_1"] + books.posted["dispute:deal_1"]
    fees = books.posted["fee_protocol:platform"] - fees_had
    if not balance:
        assert given_minor - back == agents + fees + left + out
    if world.deals["deal_1"].state == "refunded":
        # The bank takes back from the seller's side alone: it may come to owe the house its fee.
        by_bank = any(one.kind == "chargeback" for one in world.refunds.values())
        assert agents + out == -fees
        assert left == 0
        assert by_bank or fees == 0
        assert balance or back == given_minor
        assert not balance or books.available(f"entity:{BUYER}") == start


def answer_all_kinds(world: World) -> None:
    for effect in [e for e in world.effects.values() if e.state == "planned"]:
        _answer(world, effect.effect_id, CONFIRMED)


def _answer(world: World, effect_id: str, outcome: RailOutcome) -> None:
    from settlement.core.operations import RecordCharge, RecordPayout

    kinds: dict[str, Any] = {
        "refund": RecordRefund,
        "payout": RecordPayout,
        "charge": RecordCharge,
    }
    effect = world.effects[world.sent(effect_id)]
    world.run(
        kinds[effect.kind](
            principal=SYSTEM,
            effect_id=effect_id,
            deal_id=effect.deal_id,
            fence=7,
            outcome=outcome,
        )
    )


def _step(world: World, verb: str, value: int, n: int, payees: int, *, balance: bool) -> None:
    seller = key_of(SELLER)
    who = OPERATOR if n % 3 == 0 else seller
    match verb:
        case "refund" | "refund_all":
            amount = value if verb == "refund" else None
            world.run(
                Refund(principal=who, sent_key=f"k{n}", deal_id="deal_1", amount_minor=amount)
            )
        case "answer":
            found = [e.effect_id for e in world.effects.values() if e.state == "planned"]
            if found:
                _answer(world, found[0], REFUSED if value else CONFIRMED)
        case "settle" if balance:
            world.settle(principal=key_of(BUYER), provider="balance")
        case "settle":
            shares = {1: ("1",), 2: ("0.7", "0.3"), 3: ("0.5", "0.25", "0.25")}[payees]
            agents = (SELLER, HELPER, STRANGER)
            parts = tuple(
                Split(agent_id=agent, role="x", share=share)
                for agent, share in zip(agents, shares, strict=False)
            )
            world.run(Settle(principal=seller, deal_id="deal_1", splits=parts))
        case "payout":
            payee = (SELLER, HELPER)[value]
            world.run(RequestPayout(principal=key_of(payee), deal_id="deal_1", agent_id=payee))
        case "dispute":
            dispute(world)
        case "chargeback":
            gross = world.deals["deal_1"].gross_minor
            assert gross is not None
            world.run(
                RecordChargeback(
                    principal=SYSTEM,
                    deal_id="deal_1",
                    amount_minor=value or gross,
                    rail="simulated",
                    rail_ref=f"ch_{1 + n % 2}",
                    message_id=f"msg_{n}",
                )
            )
        case _:
            rule(world, value)


@pytest.mark.parametrize("ppm", [0, 123_456, 500_000, 999_999, 1_000_000])
def test_a_rail_gets_exactly_what_the_ruling_takes_from_the_seller(ppm: int) -> None:
    for world in (paid(), settled()):
        dispute(world)
        result = rule(world, ppm)
        answer_all(world)
        assert -world.books.posted["clearing:simulated"] == result["seller_minor"]
        assert result["seller_minor"] + result["refund_minor"] == 10_000
