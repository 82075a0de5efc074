"""Fees: the exact formula, tiers by volume, and documents that name themselves by hash."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core.errors import InvalidField, NetBelowMinimum
from settlement.core.fees import (
    DISCOUNTS_1,
    POLICIES,
    TIERS_2026,
    FeePolicy,
    FeeTier,
    PlatformRate,
    choose_tier,
    decimal_units,
    policy_from_document,
    protocol_fee,
    split_fees,
)
from settlement.core.money import USD, Asset

WITH_PLATFORM = replace(
    DISCOUNTS_1,
    id="with-platform",
    platform=(
        PlatformRate(name="escrow", rate_ppm=5_000, flat="0.10"),
        PlatformRate(name="insurance", rate_ppm=2_500, flat="0"),
    ),
)
assets = st.sampled_from([USD, Asset.parse("USDC/6"), Asset.parse("JPY/0")])
policies = st.sampled_from([DISCOUNTS_1, TIERS_2026, WITH_PLATFORM])


@given(st.integers(min_value=1, max_value=2**53 - 1), policies, st.integers(0, 3), assets)
def test_the_fee_is_the_exact_one_rounded_once(
    gross: int, policy: FeePolicy, at: int, asset: Asset
) -> None:
    """Catches rounding before the multiplier, half-even, binary numbers, a flat cut to a unit."""
    tier = policy.tiers[at]
    unit = Decimal(asset.minor_per_major)
    exact = (
        (Decimal(gross) * tier.rate_ppm / 10**6 + Decimal(tier.flat) * unit)
        * tier.multiplier_ppm
        / 10**6
    )
    rounded = int(exact.to_integral_value(rounding=ROUND_HALF_UP))
    assert protocol_fee(gross, tier, asset) == rounded


@given(st.integers(min_value=1, max_value=10**12), policies, st.integers(0, 10**12), assets)
def test_gross_is_the_sum_of_its_parts(
    gross: int, policy: FeePolicy, volume: int, asset: Asset
) -> None:
    """Catches a net computed on its own, and a net of nothing paid out."""
    if protocol_fee(gross, choose_tier(policy, volume, asset), asset) >= gross:
        with pytest.raises(NetBelowMinimum):
            split_fees(policy, gross, asset, volume_minor=volume)
        return
    try:
        quote = split_fees(policy, gross, asset, volume_minor=volume)
    except NetBelowMinimum:
        assert policy.platform, "only a platform fee can have taken the rest"
        return
    assert quote.gross_minor == quote.platform_minor + quote.protocol_minor + quote.net_minor
    assert quote.platform_minor == sum(part.amount_minor for part in quote.components)
    assert quote.net_minor >= 1
    assert quote.tier == choose_tier(policy, volume, asset).name
    assert (quote.policy_id, quote.policy_hash) == (policy.id, policy.hash)


def test_the_smallest_deals() -> None:
    """Catches a fee above the gross: 0.29 leaves nothing, 0.30 leaves one cent."""
    with pytest.raises(NetBelowMinimum) as caught:
        split_fees(DISCOUNTS_1, 29, USD, volume_minor=0)
    assert (caught.value.gross_minor, caught.value.fees_minor) == (29, 29)
    with pytest.raises(NetBelowMinimum):
        split_fees(DISCOUNTS_1, 1, USD, volume_minor=0)
    assert split_fees(DISCOUNTS_1, 30, USD, volume_minor=0).net_minor == 1


@pytest.mark.parametrize(
    ("volume", "tier"),
    [
        (0, "base"),
        (99999, "base"),
        (100000, "1k"),
        (999999, "1k"),
        (1000000, "10k"),
        (4999999, "10k"),
        (5000000, "50k"),
        (10**15, "50k"),
    ],
)
def test_a_tier_begins_at_its_volume(volume: int, tier: str) -> None:
    """Catches < for <= at the edge of a tier."""
    assert choose_tier(DISCOUNTS_1, volume, USD).name == tier
    fine = Asset.parse("USDC/6")
    assert choose_tier(DISCOUNTS_1, volume * 10_000, fine).name == tier


def test_a_pinned_tier_wins_over_volume() -> None:
    """Catches an approved fee recomputed at today's volume."""
    quote = split_fees(DISCOUNTS_1, 10_000, USD, volume_minor=10**9, tier="base")
    assert (quote.tier, quote.protocol_minor) == ("base", 308)
    with pytest.raises(InvalidField):
        split_fees(DISCOUNTS_1, 10_000, USD, volume_minor=0, tier="starter")


def test_platform_components_are_named_and_rounded_each() -> None:
    """Catches the platform's parts summed before rounding."""
    quote = split_fees(WITH_PLATFORM, 10_100, USD, volume_minor=0)
    named = {part.name: part.amount_minor for part in quote.components}
    assert named == {"escrow": 61, "insurance": 25}
    assert quote.net_minor == 10_100 - 86 - quote.protocol_minor


@pytest.mark.parametrize("policy", [*POLICIES.values(), WITH_PLATFORM], ids=lambda one: one.id)
def test_a_policy_reads_back_with_its_hash(policy: FeePolicy) -> None:
    """Catches a member lost in the document, and a hash that does not cover one."""
    assert policy_from_document(policy.document()) == policy
    changed = [
        replace(policy, id="other"),
        replace(policy, window_days=31),
        *(
            replace(policy, tiers=(first, *policy.tiers[1:]))
            for first in (
                replace(policy.tiers[0], name="n"),
                replace(policy.tiers[0], rate_ppm=1),
                replace(policy.tiers[0], flat="1"),
                replace(policy.tiers[0], multiplier_ppm=1),
            )
        ),
        replace(policy, platform=(PlatformRate(name="x", rate_ppm=1, flat="0"),)),
    ]
    assert len({policy.hash, *(one.hash for one in changed)}) == len(changed) + 1


def _tier(**changes: object) -> dict[str, object]:
    base: dict[str, object] = dict(DISCOUNTS_1.document()["tiers"][0])  # type: ignore[index,arg-type]
    return {**base, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"tiers": []},
        {"tiers": None},
        {"tiers": ["x"]},
        {"tiers": [_tier(min_volume="1")]},
        {"tiers": [_tier(), _tier(name="again")]},
        {"tiers": [_tier(rate_ppm=-1)]},
        {"tiers": [_tier(multiplier_ppm=-1)]},
        {"tiers": [_tier(flat="-0.28")]},
        {"tiers": [_tier(flat="2.8e-1")]},
        {"tiers": [_tier(rate_ppm=True)]},
        {"tiers": [_tier(name=7)]},
        {"rounding": "half_even"},
        {"window_days": "30"},
    ],
)
def test_a_bad_policy_is_refused_before_it_is_used(changes: dict[str, object]) -> None:
    """Catches a policy that would pay, loop or skip a seller's volume."""
    document = {**DISCOUNTS_1.document(), **changes}
    with pytest.raises(InvalidField):
        policy_from_document(document)  # type: ignore[arg-type]  # malformed on purpose


def test_decimal_units_are_exact() -> None:
    """Catches a fraction finer than the unit cut off in silence."""
    assert decimal_units("0.28", 10**6, "flat") == 280_000
    assert decimal_units("1000000", 10**6, "flat") == 10**12
    for bad in ("", ".5", "01", "1.0000001", "1 ", "\u0661", "-1", "1.2.3"):
        with pytest.raises(InvalidField):
            decimal_units(bad, 10**6, "flat")
    tier = FeeTier(name="t", min_volume="0", rate_ppm=0, flat="0.5", multiplier_ppm=10**6)
    assert protocol_fee(1, tier, Asset.parse("JPY/0")) == 1
