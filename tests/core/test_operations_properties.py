"""Random lives: whatever is asked in whatever order, the books balance and nothing moves twice.

Every decision goes past the auditor of `tests/support/books.py`, which recounts money, remakes
hashes and raises at the first row that is wrong.
"""

from __future__ import annotations

import itertools
import json
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.core.errors import NetBelowMinimum, SettlementError
from settlement.core.event_types import EVENT_TYPES
from settlement.core.fees import POLICIES, protocol_fee
from settlement.core.money import USD
from settlement.core.operations import RecordCharge, RecordPayout, RequestPayout, Settle, Split
from settlement.core.operations.terms import fix_terms, terms_from_plan
from settlement.core.principal import SYSTEM
from settlement.core.rows import EffectKind, EffectState, VolumeEntry
from tests.support.world import (
    BUYER,
    CONFIRMED,
    HELPER,
    NOBODY,
    OPERATOR,
    REFUSED,
    SELLER,
    STRANGER,
    UNKNOWN,
    World,
    destination,
    key_of,
    new_world,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TIERS = [(policy, tier.name) for policy in POLICIES.values() for tier in policy.tiers]
GROSSES = st.integers(min_value=30, max_value=2_000_000)


def shares(count: int) -> st.SearchStrategy[list[str]]:
    """Exact decimals above zero that add up to one."""

    def cut(points: list[int]) -> list[str]:
        edges = [0, *sorted(points), 1_000_000]
        parts = [high - low for low, high in itertools.pairwise(edges)]
        return [f"{part // 1_000_000}.{part % 1_000_000:06d}" for part in parts]

    inside = st.integers(min_value=1, max_value=999_999)
    return st.lists(inside, min_size=count - 1, max_size=count - 1, unique=True).map(cut)


def of_volume(world: World, policy: Any, tier: str) -> None:
    """Give the seller exactly the volume at which the tier begins."""
    minor = int(next(t for t in policy.tiers if t.name == tier).min_volume) * 100
    if minor:
        entry = VolumeEntry(
            agent_id=SELLER,
            asset="USD/2",
            n=1,
            at="2025-12-31T00:00:00.000000Z",
            delta_minor=minor,
            total_minor=minor,
            deal_id="deal_0",
        )
        world.volumes.append(entry)
        world.books.volumes[SELLER, "USD/2"] = (1, minor)


@given(
    gross=GROSSES,
    policy_and_tier=st.sampled_from(TIERS),
    parts=st.integers(min_value=1, max_value=3).flatmap(shares),
)
@settings(max_examples=150, deadline=None)
def test_whatever_the_gross_tier_and_split_the_parts_are_the_whole(
    gross: int, policy_and_tier: tuple[Any, str], parts: list[str]
) -> None:
    """Catches a build that rounds parts by themselves, or loses or invents a cent."""
    policy, tier = policy_and_tier
    world = new_world(fee_policy=policy.id)
    of_volume(world, policy, tier)
    world.pack(price_minor=gross)
    try:
        assert world.go()["fee_tier"] == tier
    except NetBelowMinimum:
        return
    world.pay(amount_minor=gross)
    agents = [SELLER, HELPER, STRANGER][: len(parts)]
    splits = tuple(
        Split(agent_id=agent, role="x", share=share)
        for agent, share in zip(agents, parts, strict=True)
    )
    try:
        result = world.settle(splits=splits)
    except NetBelowMinimum:
        assert len(parts) > 1, "one payee gets what GO found enough"
        return
    fee = protocol_fee(gross, policy.tier(tier), USD)
    assert result["protocol_fee_minor"] == fee
    assert result["gross_minor"] == fee + result["net_minor"] == gross
    rows = result["splits"]
    assert sum(row["net_amount_minor"] for row in rows) == result["net_minor"]
    assert sum(row["fee_amount_minor"] for row in rows) == fee
    assert sum(row["gross_amount_minor"] for row in rows) == gross
    assert world.books.posted["escrow:deal_1"] == 0


@given(gross=GROSSES, parts=shares(3))
@settings(max_examples=50, deadline=None)
def test_terms_survive_the_effects_plan(gross: int, parts: list[str]) -> None:
    from settlement.core.fees import DISCOUNTS_1, split_fees
    from settlement.core.operations.terms import Named

    try:
        quote = split_fees(DISCOUNTS_1, gross, USD, volume_minor=0)
        payees = [Named(agent_id=f"a{n}", role="x", share=share) for n, share in enumerate(parts)]
        terms = fix_terms(quote, payees)
    except NetBelowMinimum:
        return
    assert terms_from_plan(json.loads(json.dumps(terms.as_plan()))) == terms


# --- random lives --------------------------------------------------------------------------------

#: Mostly those whom a step is for, now and then somebody else.
SELLS = [key_of(SELLER)] * 6 + [NOBODY, OPERATOR, key_of(STRANGER)]
BUYS = [key_of(BUYER)] * 6 + [NOBODY, NOBODY, OPERATOR, key_of(SELLER), key_of(STRANGER)]
AMOUNTS = [None] * 6 + [29, 30, 5000, 9900, 30_000]
DEALS = ["deal_1", "deal_1", "deal_2"]


def _pack(world: World, dice: Random) -> None:
    who = dice.choice(SELLS)
    world.pack(
        dice.choice(DEALS),
        principal=who,
        agent_username=who.agent_id or dice.choice([SELLER, HELPER, "label"]),
        price_minor=dice.choice(AMOUNTS),
    )


def _go(world: World, dice: Random) -> None:
    world.go(
        dice.choice(DEALS),
        principal=dice.choice(BUYS),
        actor_id=dice.choice([None, BUYER, STRANGER]),
        amount_minor=dice.choice(AMOUNTS),
    )


def _settle(world: World, dice: Random) -> None:
    op = Settle(
        principal=dice.choice(SELLS + BUYS),
        deal_id=dice.choice(DEALS),
        amount_minor=dice.choice(AMOUNTS),
        counterparty_id=dice.choice([None, SELLER, BUYER, STRANGER]),
        to_agent=dice.choice([None] * 4 + [SELLER, HELPER]),
        provider=dice.choice([None, "balance"]),
    )
    derived = op.call().derived
    assert derived is not None
    # The engine answers a claim that is running or done without deciding.
    if world.claims.get((derived.scope, derived.operation, derived.key)) is None:
        world.run(op)


def _payout(world: World, dice: Random) -> None:
    agent_id = dice.choice([SELLER, SELLER, HELPER, BUYER])
    who = dice.choice([key_of(agent_id)] * 4 + [OPERATOR, NOBODY, key_of(STRANGER)])
    world.run(RequestPayout(principal=who, deal_id=dice.choice(DEALS), agent_id=agent_id))


def _pay(world: World, dice: Random) -> None:
    amount_minor = dice.choice(AMOUNTS) or 9900
    world.pay(dice.choice(DEALS), amount_minor=amount_minor, n=world.steps)


def _send(world: World, dice: Random) -> None:
    planned = [e for e in world.effects.values() if e.state == EffectState.PLANNED]
    if planned:
        world.sent(planned[0].effect_id, fence=dice.choice([7, 7, 7, 8]))


def _answer(world: World, dice: Random) -> None:
    if not world.effects:
        return
    effect = dice.choice(sorted(world.effects.values(), key=lambda e: e.effect_id))
    record = RecordCharge if effect.kind is EffectKind.CHARGE else RecordPayout
    world.run(
        record(
            principal=SYSTEM,
            effect_id=effect.effect_id,
            deal_id=effect.deal_id,
            fence=dice.choice([7, 7, 7, 8]),
            outcome=dice.choice([CONFIRMED, CONFIRMED, REFUSED, UNKNOWN]),
        )
    )


def _verify(world: World, dice: Random) -> None:
    world.verify(dice.choice(SELLS), dice.choice(DEALS))


def _wait(world: World, dice: Random) -> None:
    world.now_us += dice.choice([1, 1, 86_400_000_000, 8 * 86_400_000_000])


STEPS: list[Callable[[World, Random], None]] = [
    *([_pack] * 2),
    *([_go] * 2),
    *([_settle] * 3),
    *([_payout] * 3),
    *([_pay] * 1),
    *([_send] * 3),
    *([_answer] * 4),
    _verify,
    _wait,
]


def live(world: World, dice: Random, steps: int = 60) -> None:
    """Make random calls; a refusal must leave the books as they are."""
    for _ in range(steps):
        try:
            dice.choice(STEPS)(world, dice)
        except SettlementError:
            world.books.close()


@given(seed=st.integers(min_value=0, max_value=2**32), sandbox=st.booleans(), auto=st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_order_of_calls_breaks_the_books(seed: int, *, sandbox: bool, auto: bool) -> None:
    """Catches a build that settles twice, pays a stranger, overdraws, or forgets a need."""
    world = new_world(sandbox=sandbox)
    if auto:
        world.destinations.append(destination(SELLER, auto=1))
    else:
        world.fund(BUYER)
    live(world, Random(seed))
    for chain in world.books.chains.values():
        for event in chain:
            known = EVENT_TYPES[event.event_type]
            assert known.problem(json.loads(event.payload)) is None


def test_random_lives_reach_every_ending() -> None:
    """The property above is worth what it reaches."""
    reached: set[str] = set()
    for seed in range(40):
        world = new_world(sandbox=seed % 4 > 0)
        world.fund(BUYER)
        live(world, Random(seed))
        reached |= {e.event_type for chain in world.books.chains.values() for e in chain}
        reached |= {f"by {deal.funding}" for deal in world.deals.values()}
    assert reached >= {"PROOF_VERIFIED", "SETTLED", "PAYOUT_FAILED", "PAYOUT_CONFIRMED"}
    assert reached >= {"by charge", "by balance"}
