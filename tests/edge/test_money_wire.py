"""Money on the wire: amounts read from their text, three forms written (contract §1.5)."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from settlement.core.errors import AmountMalformed, AmountNotPositive, AmountOverScale
from settlement.core.money import USD, Asset
from settlement.edge.http.body import parse_object
from settlement.edge.http.money import Amount, encode, expand, optional_minor

USDC = Asset.parse("USDC/6")


def sent(text: str) -> Amount:
    return Amount(parse_object(f'{{"a": {text}}}'.encode())["a"])


@pytest.mark.parametrize("text", ["99", "99.0", "99.00", '"99"', '"99.00"', "99.000000"])
def test_ninety_nine_is_one_amount_however_written(text: str) -> None:
    assert sent(text).minor(USD, "amount") == 9900


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1e2", AmountMalformed),
        ("100e-1", AmountMalformed),
        ("-1", AmountMalformed),
        ("-0.5", AmountMalformed),
        ('" 1"', AmountMalformed),
        ('"1 "', AmountMalformed),
        ('"01"', AmountMalformed),
        ('"+1"', AmountMalformed),
        ('"1,5"', AmountMalformed),
        ('"NaN"', AmountMalformed),
        ('"Infinity"', AmountMalformed),
        ('"\u0661"', AmountMalformed),  # a digit, but not one of ours
        ("9007199254740993", AmountMalformed),
        ("90071992547409.92", AmountMalformed),
        ('"1e2"', AmountMalformed),
        ("0", AmountNotPositive),
        ("0.00", AmountNotPositive),
        ("0.001", AmountOverScale),
        ("1.005", AmountOverScale),
    ],
)
def test_what_is_no_amount_is_refused_with_its_code(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        sent(text).minor(USD, "amount")


@pytest.mark.parametrize("value", [True, None, [], {}, [1]])
def test_what_is_neither_number_nor_text_is_no_amount(value: object) -> None:
    with pytest.raises(ValueError, match="not a number"):
        Amount(value)


def test_the_largest_amount_is_exact() -> None:
    assert sent("90071992547409.91").minor(USD, "amount") == 2**53 - 1


@pytest.mark.parametrize("text", ["0", "0.0", "0.00", '"0"'])
def test_zero_names_no_amount_where_none_is_needed(text: str) -> None:
    assert optional_minor(sent(text), USD, "amount") is None


def test_money_leaves_in_three_forms() -> None:
    shown = expand({"asset": "USD/2", "net_minor": 9595, "other": 1})
    assert json.loads(encode(shown), parse_float=Decimal) == {
        "asset": "USD/2",
        "currency": "USD",
        "net": Decimal("95.95"),
        "net_minor": 9595,
        "net_exact": "95.95",
        "other": 1,
    }
    assert b'"net":95.95' in encode(shown)


def test_a_number_always_has_two_decimals() -> None:
    assert b'"net":3.00' in encode(expand({"asset": "USD/2", "net_minor": 300}))
    assert b'"net":0.01' in encode(expand({"asset": "USDC/6", "net_minor": 5000}))
    exact = expand({"asset": "USDC/6", "net_minor": 5001})
    assert exact["net_exact"] == "0.005001"


def test_no_amount_is_null_in_all_forms() -> None:
    assert expand({"asset": "USD/2", "net_minor": None}) == {
        "asset": "USD/2",
        "currency": "USD",
        "net": None,
        "net_minor": None,
        "net_exact": None,
    }


def test_the_nearest_asset_counts() -> None:
    shown = expand({"asset": "USD/2", "rows": [{"a_minor": 1}, {"asset": "USDC/6", "a_minor": 1}]})
    assert shown["rows"][0]["a_exact"] == "0.01"
    assert shown["rows"][1]["a_exact"] == "0.000001"


def test_a_payload_is_shown_as_it_was_hashed() -> None:
    payload = {"asset": "USD/2", "gross_minor": 1}
    assert expand({"asset": "USD/2", "payload": payload})["payload"] == payload


def test_without_an_asset_nothing_is_expanded() -> None:
    assert expand({"gross_minor": 5, "rows": [{"x_minor": 1}]}) == {
        "gross_minor": 5,
        "rows": [{"x_minor": 1}],
    }
