"""Debts come first: whatever order money comes, goes back and is paid out in."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.core import errors
from settlement.core.accounts import available
from settlement.core.operations import (
    RecordPayout,
    RecordRefund,
    RecordTopup,
    Refund,
    RequestPayout,
    TopUp,
)
from settlement.core.principal import SYSTEM, Principal
from settlement.core.rows import EffectKind, EffectState
from settlement.core.topups import TopupRequest
from tests.support.world import (
    CONFIRMED,
    OPERATOR,
    REFUSED,
    SELLER,
    STRANGER,
    World,
    key_of,
    new_world,
    refuses,
)

ASSET = "USD/2"
TOPUP = "topup_" + "1" * 32


def has(world: World) -> int:
    return available(world.accounts.get((f"entity:{SELLER}", ASSET)))


def owes(world: World) -> int:
    return available(world.accounts.get((f"receivable:{SELLER}", ASSET)))


def paid_up(world: World, n: int, amount_minor: int) -> dict[str, Any]:
    request = TopupRequest(
        topup_id=TOPUP, agent_id=SELLER, asset=ASSET, amount_minor=amount_minor, rail="simulated"
    )
    return world.run(
        RecordTopup(
            principal=SYSTEM,
            request=request,
            amount_minor=amount_minor,
            rail_ref=f"top_{n}",
            message_id=f"m_{n}",
        )
    )


def answer_all(world: World, choose: random.Random) -> None:
    """The rail answers what it was asked; refunds it does as asked."""
    recorders: dict[EffectKind, Any] = {
        EffectKind.PAYOUT: RecordPayout,
        EffectKind.REFUND: RecordRefund,
    }
    for effect in [e for e in world.effects.values() if e.state == EffectState.PLANNED]:
        says = CONFIRMED
        if effect.kind is EffectKind.PAYOUT and choose.random() < 0.3:
            says = REFUSED
        world.run(
            recorders[effect.kind](
                principal=SYSTEM,
                effect_id=world.sent(effect.effect_id),
                deal_id=effect.deal_id,
                fence=7,
                outcome=says,
            )
        )


@given(seed=st.integers(min_value=0, max_value=2**32))
@settings(max_examples=60, deadline=None)
def test_whatever_comes_in_debts_come_first(seed: int) -> None:
    """The auditor of the world refuses any account below nothing. Broken builds: one that pays out
    while its payee owes, and one that recovers more than came in or than is owed."""
    choose = random.Random(seed)
    world = new_world()
    deals: list[str] = []
    for step in range(24):
        kind = choose.choice(["settle", "settle", "payout", "payout", "refund", "topup", "rail"])
        before, owed = has(world), owes(world)
        if kind == "settle":
            deal_id = f"deal_{step}"
            world.pack(deal_id, price_minor=10_000)
            world.go(deal_id)
            world.pay(deal_id, amount_minor=10_000, n=step)
            net = int(world.settle(deal_id)["net_minor"])
            deals.append(deal_id)
            assert (has(world), owes(world)) == (
                before + net - min(net, owed),
                owed - min(net, owed),
            )
        elif kind == "topup":
            minor = choose.choice([1, 500, 20_000])
            assert paid_up(world, step, minor)["recovered_minor"] == min(minor, owed)
            assert owes(world) == owed - min(minor, owed)
        elif kind == "rail":
            answer_all(world, choose)
        elif deals:
            deal_id = choose.choice(deals)
            try:
                if kind == "payout":
                    world.run(
                        RequestPayout(principal=key_of(SELLER), deal_id=deal_id, agent_id=SELLER)
                    )
                    assert owes(world) == 0, "nobody is paid out while owing"
                else:
                    part = choose.choice([None, 1, 2_500])
                    world.run(
                        Refund(
                            principal=OPERATOR,
                            sent_key=f"k{step}",
                            deal_id=deal_id,
                            amount_minor=part,
                        )
                    )
                    answer_all(world, choose)
            except errors.SettlementError:
                assert (has(world), owes(world)) == (before, owed)
    spent = world.books.posted[f"entity:{SELLER}"]
    assert spent >= 0


def test_an_unpaid_debt_bars_only_what_it_would_take() -> None:
    """Catches a build that forgets what it kept of a deal, and then never pays the rest."""
    world = new_world()
    for n, deal_id in enumerate(("deal_1", "deal_2")):
        world.pack(deal_id, price_minor=10_000)
        world.go(deal_id)
        world.pay(deal_id, amount_minor=10_000, n=n)
    world.settle("deal_1")
    world.run(RequestPayout(principal=key_of(SELLER), deal_id="deal_1", agent_id=SELLER))
    answer_all(world, _Confirms())
    world.run(Refund(principal=OPERATOR, sent_key="k", deal_id="deal_1", amount_minor=4_000))
    answer_all(world, _Confirms())
    owed = owes(world)
    assert owed > 0
    net = int(world.settle("deal_2")["net_minor"])
    assert world.types("deal_2")[-1] == "RECEIVABLE_RECOVERED"
    asked = RequestPayout(principal=key_of(SELLER), deal_id="deal_2", agent_id=SELLER)
    assert world.run(asked)["amount_minor"] == net - owed
    answer_all(world, _Refuses())
    paid_up(world, 1, 50_000)
    assert world.run(asked)["amount_minor"] == net, "the top-up has paid the debt"


class _Refuses(random.Random):
    def random(self) -> float:
        return 0.0


class _Confirms(random.Random):
    def random(self) -> float:
        return 1.0


def test_only_the_agent_itself_or_an_operator_asks_for_its_top_up() -> None:
    world = new_world()

    def ask(principal: Principal) -> TopUp:
        return TopUp(
            principal=principal,
            sent_key="k",
            topup_id=TOPUP,
            agent_id=SELLER,
            asset=ASSET,
            amount_minor=100,
        )

    refuses(world, "not_owner", lambda: world.run(ask(key_of(STRANGER))))
    assert world.decide(ask(key_of(SELLER))).pending
