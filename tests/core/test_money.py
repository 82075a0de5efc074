"""Money: reading is exact or refused, arithmetic keeps assets apart, parts sum to the whole."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core.errors import (
    AmountMalformed,
    AmountNotPositive,
    AmountOverScale,
    InvalidField,
    NetBelowMinimum,
    SharesNotOne,
)
from settlement.core.money import (
    MAX_MINOR,
    USD,
    Asset,
    Money,
    allocate,
    format_exact,
    parse_amount,
    parse_shares,
    split_shares,
    two_decimals,
)

USDC = Asset.parse("USDC/6")
YEN = Asset.parse("JPY/0")
assets = st.sampled_from([USD, USDC, YEN, Asset.parse("X1/1"), Asset.parse("GAS/12")])
amounts = st.integers(min_value=1, max_value=MAX_MINOR)


@pytest.mark.parametrize("text", ["99", "99.0", "99.00", "99.000000"])
def test_one_amount_has_many_spellings(text: str) -> None:
    """Catches trailing zeros counted as precision."""
    assert parse_amount(text, USD, "amount") == 9900


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "-1",
        "01",
        "00",
        ".5",
        "5.",
        "1e2",
        "1E2",
        "NaN",
        "Infinity",
        "1_0",
        "0x1",
        "1,5",
        "1.5.0",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "90071992547409.92",
        "9" * 5000,
        "true",
    ],
)
def test_malformed_amounts_are_refused(text: str) -> None:
    """Catches int() or Decimal() doing the reading: they take blanks, signs, underscores."""
    with pytest.raises(AmountMalformed):
        parse_amount(text, USD, "amount")


def test_bounds_zero_and_scale() -> None:
    """Catches an off-by-one at 2**53 - 1, and a zero that is called malformed."""
    assert parse_amount("90071992547409.91", USD, "amount") == MAX_MINOR
    for zero in ("0", "0.00", "0.0000"):
        with pytest.raises(AmountNotPositive):
            parse_amount(zero, USD, "amount")
    with pytest.raises(AmountOverScale) as caught:
        parse_amount("0.001", USD, "amount")
    assert caught.value.scale == 2
    assert parse_amount("0.000001", USDC, "amount") == 1


@given(amounts, assets)
def test_parsing_undoes_formatting(minor: int, asset: Asset) -> None:
    """Catches a lost zero after the point: 5 minor units are 0.05, not 0.5."""
    assert parse_amount(format_exact(minor, asset), asset, "amount") == minor


@given(st.integers(min_value=-MAX_MINOR, max_value=MAX_MINOR), assets)
def test_both_texts_agree_with_decimal(minor: int, asset: Asset) -> None:
    """Catches half-even or truncation in place of half-up."""
    exact = Decimal(minor).scaleb(-asset.scale)
    assert Decimal(format_exact(minor, asset)) == exact
    assert two_decimals(minor, asset).removeprefix("-") == format(
        abs(exact).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP), "f"
    )


def test_halves_go_away_from_zero() -> None:
    """Catches a sign lost or a tie rounded down."""
    assert two_decimals(5_000, USDC) == "0.01"
    assert two_decimals(4_999, USDC) == "0.00"
    assert two_decimals(-5_000, USDC) == "-0.01"
    assert two_decimals(7, YEN) == "7.00"
    assert format_exact(-5, USD) == "-0.05"


@pytest.mark.parametrize(
    "code", ["USD", "usd/2", "USD/02", "USD/13", "USD/2 ", "U/2", "/2", "USD/-1"]
)
def test_assets_have_one_spelling(code: str) -> None:
    """Catches a prefix match in place of a full one."""
    with pytest.raises(InvalidField):
        Asset.parse(code)


small = st.integers(min_value=-(10**9), max_value=10**9)


@given(small, small, small)
def test_money_adds_as_integers_do(a: int, b: int, c: int) -> None:
    """Catches an operator wired to the wrong one."""
    one, two, three = (Money(minor=value, asset=USD) for value in (a, b, c))
    assert (one + two) + three == one + (two + three)
    assert one - two == -(two - one)
    assert (one < two, one <= two, one > two, one >= two) == (a < b, a <= b, a > b, a >= b)


def test_assets_do_not_mix_and_bounds_hold() -> None:
    """Catches addition that ignores the asset, and a sum beyond what JSON can hold."""
    with pytest.raises(InvalidField):
        Money(minor=1, asset=USD) + Money(minor=1, asset=USDC)
    with pytest.raises(InvalidField):
        assert Money(minor=1, asset=USD) < Money(minor=1, asset=USDC)
    with pytest.raises(AmountMalformed):
        Money(minor=MAX_MINOR, asset=USD) + Money(minor=1, asset=USD)
    with pytest.raises(AmountMalformed):
        Money(minor=True, asset=USD)


weights = st.lists(st.integers(min_value=0, max_value=10**6), min_size=1, max_size=9).filter(any)


@given(st.integers(min_value=0, max_value=MAX_MINOR), weights)
def test_parts_sum_to_the_whole(total: int, parts: list[int]) -> None:
    """Catches a dropped remainder, a negative part, and a part off by more than one unit."""
    shares = allocate(total, parts)
    assert sum(shares) == total
    for share, weight in zip(shares, parts, strict=True):
        assert share >= 0
        assert abs(share * sum(parts) - total * weight) < sum(parts)


def test_ties_go_to_the_earlier() -> None:
    """Catches a sort that leaves ties to the later or to chance."""
    assert allocate(1, [1, 1]) == (1, 0)
    assert allocate(5, [1, 1, 1]) == (2, 2, 1)
    assert allocate(2, [1, 1, 1, 1]) == (1, 1, 0, 0)
    assert Money(minor=100, asset=USD).allocate([1, 1, 1])[0].minor == 34


def test_splits_of_the_specification() -> None:
    """Catches division by one in place of the actual sum of the shares."""
    assert split_shares(9595, ["0.5", "0.3", "0.2"]) == (4798, 2878, 1919)
    assert split_shares(100, ["0.333333", "0.333333", "0.333334"]) == (33, 33, 34)
    assert split_shares(10**10, ["0.4999995", "0.4999995"]) == (5 * 10**9, 5 * 10**9)


@pytest.mark.parametrize(
    "share", ["0", "0.0", "-0.5", "5e-1", "NaN", "", " 0.5", "0." + "0" * 31 + "1"]
)
def test_bad_shares_are_refused(share: str) -> None:
    """Catches a zero or negative share that would pay a payee nothing, or less."""
    with pytest.raises(InvalidField) as caught:
        parse_shares(["0.5", share])
    assert caught.value.field == "splits[1].share"


@pytest.mark.parametrize("shares", [["0.5"], ["0.5", "0.4999989"], ["0.5", "0.5000011"], []])
def test_shares_must_make_one(shares: list[str]) -> None:
    """Catches a tolerance ten times too wide, and the empty list."""
    with pytest.raises(SharesNotOne):
        parse_shares(shares)
    assert parse_shares(["0.5", "0.499999"])
    assert parse_shares(["0.5", "0.500001"])


def test_a_payee_with_nothing_refuses_the_split() -> None:
    """Catches a release of zero, which the ledger would refuse later and less clearly."""
    with pytest.raises(NetBelowMinimum) as caught:
        split_shares(1, ["0.5", "0.5"], gross_minor=30)
    assert (caught.value.gross_minor, caught.value.fees_minor) == (30, 29)
