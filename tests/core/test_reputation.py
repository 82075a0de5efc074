"""OCS (spec §15): exact scores, caps, ageing, tiers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core.reputation import (
    HALF_LIFE_US,
    START_HUNDREDTHS,
    TIERS,
    Outcome,
    hundredths_text,
    score_hundredths,
    tier_of,
)


def good(counterparty: str, age_us: int = 0) -> Outcome:
    return Outcome(counterparty=counterparty, good=True, age_us=age_us)


def bad(counterparty: str, age_us: int = 0) -> Outcome:
    return Outcome(counterparty=counterparty, good=False, age_us=age_us)


def test_a_new_agent_stands_at_fifty() -> None:
    assert score_hundredths([]) == START_HUNDREDTHS == 5000
    assert tier_of(5000).name == "standard"


def test_good_deals_with_many_raise_the_score() -> None:
    # S = N = 10, each of its own counterparty: 100 * 15 / 20.
    assert score_hundredths([good(f"b{n}") for n in range(10)]) == 7500


def test_a_bad_deal_weighs_three_good_ones() -> None:
    # One bad of weight 3, capped at 2: 100 * 5 / 12.
    assert score_hundredths([bad("b")]) == 4167
    # With ten good counterparties: N = 13, cap 2.6, so 100 * 15 / 22.6.
    outcomes = [good(f"b{n}") for n in range(10)] + [bad("x")]
    assert score_hundredths(outcomes) == round(Fraction(10_000 * 15 * 10, 226))


def test_one_counterparty_counts_for_two_at_most_in_a_small_history() -> None:
    assert score_hundredths([good("b")] * 2) == score_hundredths([good("b")] * 9)
    assert score_hundredths([good("b")] * 100) > score_hundredths([good("b")] * 9)


def test_an_outcome_weighs_half_after_each_full_half_life() -> None:
    fresh = [good(f"b{n}", HALF_LIFE_US - 1) for n in range(4)]
    old = [good(f"b{n}", HALF_LIFE_US) for n in range(4)]
    assert score_hundredths(fresh) == round(Fraction(10_000 * 9, 14))
    assert score_hundredths(old) == round(Fraction(10_000 * 7, 12))
    assert score_hundredths([good("b", HALF_LIFE_US * 10_000)]) == 5000


@pytest.mark.parametrize(
    ("hundredths", "name", "escrow", "multiplier"),
    [
        (10_000, "elite", "0.00", "0.85"),
        (9_000, "elite", "0.00", "0.85"),
        (8_999, "trusted", "0.10", "0.90"),
        (7_500, "trusted", "0.10", "0.90"),
        (7_499, "standard", "0.25", "1.00"),
        (5_000, "standard", "0.25", "1.00"),
        (4_999, "probation", "0.50", "1.10"),
        (2_500, "probation", "0.50", "1.10"),
        (2_499, "restricted", "1.00", "1.25"),
        (0, "restricted", "1.00", "1.25"),
    ],
)
def test_tiers(hundredths: int, name: str, escrow: str, multiplier: str) -> None:
    tier = tier_of(hundredths)
    assert (tier.name, tier.escrow, tier.multiplier) == (name, escrow, multiplier)


def test_tiers_fall() -> None:
    floors = [tier.least_hundredths for tier in TIERS]
    assert floors == sorted(floors, reverse=True)


OUTCOMES = st.lists(
    st.builds(
        Outcome,
        counterparty=st.sampled_from("abcdefgh"),
        good=st.booleans(),
        age_us=st.integers(-(10**12), 10**14),
    ),
    max_size=40,
)


@given(OUTCOMES)
def test_scores_stay_within_bounds_and_do_not_depend_on_order(outcomes: list[Outcome]) -> None:
    score = score_hundredths(outcomes)
    assert 0 <= score <= 10_000
    assert score_hundredths(outcomes[::-1]) == score
    tier_of(score)


@given(OUTCOMES)
def test_another_good_deal_with_somebody_new_never_harms(outcomes: list[Outcome]) -> None:
    assert score_hundredths([*outcomes, good("somebody new")]) >= score_hundredths(outcomes)


def test_a_score_has_two_decimals() -> None:
    assert hundredths_text(5000) == "50.00"
    assert hundredths_text(4167) == "41.67"
    assert hundredths_text(5) == "0.05"
