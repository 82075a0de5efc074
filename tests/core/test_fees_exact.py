"""Fees and splits to the cent, over every amount there is to about twenty thousand dollars.

The whole range runs with the long tests; the normal run takes every 4,999th amount, all small ones
and the edges of every tier. What a part must be is said here a second time, in fractions.
"""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.core.errors import NetBelowMinimum
from settlement.core.fees import POLICIES, FeePolicy, FeeTier, PlatformRate, split_fees
from settlement.core.money import USD, allocate, parse_shares, split_shares
from settlement.core.operations.terms import Named, fix_terms

LAST = 2_000_000  # 20,000.00
SMALL = range(1, 2_001)
EACH = [(policy.id, tier.name) for policy in POLICIES.values() for tier in policy.tiers]


def half_up(exact: Fraction) -> int:
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def formula(gross: int, tier: FeeTier) -> int:
    """Spec §3.1, in fractions."""
    rate, multiplier = Fraction(tier.rate_ppm, 10**6), Fraction(tier.multiplier_ppm, 10**6)
    return half_up((gross * rate + Fraction(tier.flat) * 100) * multiplier)


def least_gross(policy: FeePolicy, tier: FeeTier) -> int:
    """The smallest gross of which something remains."""
    gross = 1
    while gross - formula(gross, tier) < 1:
        gross += 1
    return gross


def check(policy: FeePolicy, tier: FeeTier, gross: int, least: int) -> None:
    if gross < least:
        with pytest.raises(NetBelowMinimum):
            split_fees(policy, gross, USD, volume_minor=0, tier=tier.name)
        return
    quote = split_fees(policy, gross, USD, volume_minor=0, tier=tier.name)
    assert quote.protocol_minor == formula(gross, tier)
    assert quote.platform_minor == 0
    assert quote.net_minor >= 1
    assert quote.protocol_minor >= 0
    assert gross == quote.platform_minor + quote.protocol_minor + quote.net_minor


@pytest.mark.parametrize(("policy_id", "tier_name"), EACH)
def test_the_parts_of_any_amount_are_the_amount(policy_id: str, tier_name: str) -> None:
    """Catches: a fee rounded twice or half to even, a net rounded by itself, a negative part."""
    policy = POLICIES[policy_id]
    tier = policy.tier(tier_name)
    least = least_gross(policy, tier)
    for gross in (*SMALL, *range(2_001, LAST, 4_999), LAST - 1, LAST):
        check(policy, tier, gross, least)


@pytest.mark.long
@pytest.mark.parametrize(("policy_id", "tier_name"), EACH)
def test_the_parts_of_every_amount_are_the_amount(policy_id: str, tier_name: str) -> None:
    """All 2,000,000 amounts, every policy and tier: parts sum, none is negative, none shrinks.

    The fee is compared with the formula on a common denominator, stepped from amount to amount.
    """
    policy = POLICIES[policy_id]
    tier = policy.tier(tier_name)
    least = least_gross(policy, tier)
    step = tier.rate_ppm * tier.multiplier_ppm
    twice = 2 * int(Fraction(tier.flat) * 100) * 10**6 * tier.multiplier_ppm + 10**12
    twice += 2 * step * (least - 1)
    before = 0
    for gross in range(least, LAST + 1):
        twice += 2 * step
        quote = split_fees(policy, gross, USD, volume_minor=0, tier=tier_name)
        fee, net = quote.protocol_minor, quote.net_minor
        if fee != twice // (2 * 10**12) or fee + net != gross or net < 1 or fee < before:
            pytest.fail(f"{gross}: fee {fee}, net {net}")
        before = fee


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.id)
def test_every_edge_of_a_tier_is_the_first_of_its_volume(policy: FeePolicy) -> None:
    """Catches: a volume compared by > or in another unit."""
    for lower, upper in zip(policy.tiers, policy.tiers[1:], strict=False):
        edge = int(Fraction(upper.min_volume) * 100)
        for volume, tier in ((edge - 1, lower), (edge, upper), (edge + 1, upper)):
            for gross in (30, 99, 10_000, 12_345, 99_999, 100_001):
                quote = split_fees(policy, gross, USD, volume_minor=volume)
                assert quote.tier == tier.name
                assert quote.protocol_minor == formula(gross, tier)
                assert quote.protocol_minor + quote.net_minor == gross
    assert split_fees(policy, 10_000, USD, volume_minor=0).tier == policy.tiers[0].name


rates = st.integers(min_value=0, max_value=200_000)
flats = st.decimals(min_value=0, max_value=2, places=4).map(lambda flat: f"{flat:f}")


@given(
    gross=st.integers(min_value=1, max_value=10**9),
    parts=st.lists(st.tuples(rates, flats), max_size=5),
    tier=st.tuples(rates, flats, st.integers(min_value=0, max_value=2_000_000)),
)
def test_any_policy_takes_an_amount_apart_exactly(
    gross: int, parts: list[tuple[int, str]], tier: tuple[int, str, int]
) -> None:
    """Platform components too: each named, each rounded once, their sum the platform fee."""
    band = FeeTier(
        name="all", min_volume="0", rate_ppm=tier[0], flat=tier[1], multiplier_ppm=tier[2]
    )
    policy = FeePolicy(
        id="any",
        tiers=(band,),
        platform=tuple(
            PlatformRate(name=f"part{n}", rate_ppm=rate, flat=flat)
            for n, (rate, flat) in enumerate(parts)
        ),
    )
    wanted = [half_up(gross * Fraction(rate, 10**6) + Fraction(flat) * 100) for rate, flat in parts]
    fee = formula(gross, band)
    if gross - sum(wanted) - fee < 1:
        with pytest.raises(NetBelowMinimum):
            split_fees(policy, gross, USD, volume_minor=0)
        return
    quote = split_fees(policy, gross, USD, volume_minor=0)
    assert [part.amount_minor for part in quote.components] == wanted
    assert (quote.platform_minor, quote.protocol_minor) == (sum(wanted), fee)
    assert quote.net_minor == gross - sum(wanted) - fee


# --- splits --------------------------------------------------------------------------------------


def share_vector(chance: random.Random) -> list[str]:
    """Shares that make one, exactly or within what is allowed, of up to twelve payees."""
    count = chance.randint(1, 12)
    digits = chance.choice([2, 3, 6, 12])
    whole = 10**digits
    cuts = sorted(chance.sample(range(1, whole), count - 1)) if count > 1 else []
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, whole], strict=True)]
    if digits == 12:
        parts[-1] += chance.randint(0, min(10**6, parts[-1]) - 1) - min(10**6, parts[-1]) // 2
    return [f"{part // whole}.{part % whole:0{digits}d}" for part in parts]


def check_split(chance: random.Random) -> None:
    shares = share_vector(chance)
    gross = chance.choice([chance.randint(30, 5_000), chance.randint(5_000, LAST)])
    policy = chance.choice(list(POLICIES.values()))
    tier = chance.choice(policy.tiers)
    quote = split_fees(policy, gross, USD, volume_minor=0, tier=tier.name)
    named = [
        Named(agent_id=f"agent_{n}", role="payee", share=share) for n, share in enumerate(shares)
    ]
    weights = parse_shares(shares)
    if min(allocate(quote.net_minor, weights)) < 1:
        with pytest.raises(NetBelowMinimum):
            split_shares(quote.net_minor, shares)
        return
    terms = fix_terms(quote, named)
    nets = [part.net_minor for part in terms.parts]
    fees = [part.fee_minor for part in terms.parts]
    assert sum(nets) == quote.net_minor, shares
    assert sum(fees) == quote.platform_minor + quote.protocol_minor, shares
    assert sum(nets) + sum(fees) == gross
    assert min(nets) >= 1
    assert min(fees) >= 0
    for net, weight in zip(nets, weights, strict=True):
        # Largest remainder: nobody is off by a whole cent.
        assert abs(net * sum(weights) - quote.net_minor * weight) < sum(weights)


def test_splits_by_any_shares_sum_to_the_cent() -> None:
    """Catches: parts rounded one by one, a rest given to the last, a payee with nothing paid."""
    chance = random.Random(20260101)
    for _ in range(2_000):
        check_split(chance)


@pytest.mark.long
def test_splits_by_a_hundred_thousand_share_vectors_sum_to_the_cent() -> None:
    """The same, 100,000 times."""
    chance = random.Random(20260102)
    for _ in range(100_000):
        check_split(chance)


@settings(max_examples=50)
@given(
    gross=st.integers(min_value=10_000, max_value=10**9),
    count=st.integers(min_value=1, max_value=100),
)
def test_equal_shares_of_many_differ_by_a_cent_at_most(gross: int, count: int) -> None:
    share = f"{Fraction(10**12, count).__floor__()}".rjust(13, "0")
    shares = [f"{share[:-12]}.{share[-12:]}"] * count
    nets = split_shares(gross, shares)
    assert sum(nets) == gross
    assert max(nets) - min(nets) <= 1
    assert list(nets) == sorted(nets, reverse=True), "ties go to the earlier"
