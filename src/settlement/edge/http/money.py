"""Money on the wire: how `*_minor` members are shown, and how amounts are read.

Guarantees: an amount is read from the text the caller wrote and shown as digits; at no point is it
a binary number. `<n>_minor` of an object with an `asset` (its own, or the nearest around it) leaves
as `<n>` (JSON number, two decimals), `<n>_minor` and `<n>_exact`; a `payload` is hashed as it is
and stays untouched.
Does not: know fees or decide amounts.

Spec §1.3, contract §1.5. Change colour: amber.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from settlement.core.errors import AmountMalformed
from settlement.core.money import Asset, format_exact, parse_amount, two_decimals
from settlement.edge.http.body import Number

_MINOR: Final = "_minor"
_CENT_DIGITS: Final = 2
#: Members whose content is part of a hash: shown as stored.
_AS_HASHED: Final = frozenset({"payload"})


class Amount:
    """An amount as sent: the text of a JSON number or string, still to be read in an asset."""

    __slots__ = ("text",)

    def __init__(self, value: object) -> None:
        if isinstance(value, Number):
            self.text = value.text
        elif isinstance(value, str):
            self.text = value
        elif isinstance(value, int) and not isinstance(value, bool):
            self.text = str(value)
        else:
            raise ValueError("not a number or its text")

    def is_zero(self) -> bool:
        """True for 0, 0.0, "0.00": some clients send a zero where they name no amount."""
        digits = self.text.replace(".", "", 1)
        return digits.isascii() and digits.isdecimal() and not digits.strip("0")

    def minor(self, asset: Asset, field: str) -> int:
        """Minor units; raises AmountMalformed, AmountNotPositive, AmountOverScale."""
        return parse_amount(self.text, asset, field)


def required_minor(amount: Amount | None, asset: Asset, field: str) -> int:
    """The amount there must be."""
    if amount is None:
        raise AmountMalformed(field=field)
    return amount.minor(asset, field)


def optional_minor(amount: Amount | None, asset: Asset, field: str) -> int | None:
    """The amount, or None when none was named; zero names none."""
    return None if amount is None or amount.is_zero() else amount.minor(asset, field)


def number(text: str) -> msgspec.Raw:
    """Decimal text as a JSON number, digit for digit."""
    return msgspec.Raw(text.encode("ascii"))


def expand(value: Any, asset: Asset | None = None) -> Any:
    """A copy in which every money member has its three forms."""
    if isinstance(value, dict):
        return _expand_object(value, asset)
    if isinstance(value, list | tuple):
        return [expand(part, asset) for part in value]
    return value


def _expand_object(members: dict[str, Any], around: Asset | None) -> dict[str, Any]:
    code = members.get("asset")
    asset = Asset.parse(code) if isinstance(code, str) else around
    shown: dict[str, Any] = {}
    for name, value in members.items():
        kind = type(value)
        if asset is not None and name.endswith(_MINOR) and (kind is int or value is None):
            _show_money(shown, name[: -len(_MINOR)], value, asset)
        elif kind is str or kind is int or name in _AS_HASHED:
            shown[name] = value
        else:
            shown[name] = expand(value, asset)
    if isinstance(code, str) and asset is not None:
        shown.setdefault("currency", asset.currency)
    return shown


def _show_money(shown: dict[str, Any], name: str, minor: int | None, asset: Asset) -> None:
    if minor is None:
        shown[name] = shown[f"{name}_minor"] = shown[f"{name}_exact"] = None
        return
    exact = format_exact(minor, asset)
    # At two decimals, which is every deal in dollars, the exact text is the number already.
    cents = exact if asset.scale == _CENT_DIGITS else two_decimals(minor, asset)
    shown[name] = number(cents)
    shown[f"{name}_minor"] = minor
    shown[f"{name}_exact"] = exact


def encode(value: Any) -> bytes:
    """JSON text of an answer whose numbers are integers, or texts wrapped by `number`."""
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: object) -> str:
    if isinstance(value, str):  # ids are small classes of their own
        return str(value)
    raise NotImplementedError(type(value))
