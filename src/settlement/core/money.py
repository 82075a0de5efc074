"""Exact money: assets, amounts read from text, amounts written as text, and division into parts.

Guarantees: an amount is an integer number of minor units within +-(2**53 - 1), so it is safe as a
JSON number everywhere; reading is exact or refused; arithmetic never mixes assets; a division into
parts sums to what was divided, with no negative part and the same answer on every run.
Does not: convert between assets, round on input, or know fees.

Spec §1.3, §5.5. Change colour: red.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from settlement.core.errors import (
    AmountMalformed,
    AmountNotPositive,
    AmountOverScale,
    InvalidField,
    NetBelowMinimum,
    SharesNotOne,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_MINOR: Final = 2**53 - 1
SCALE_MAX: Final = 12
SHARE_DIGITS_MAX: Final = 30
DEFAULT_ASSET_CODE: Final = "USD/2"

_ASSET = re.compile(r"([A-Z][A-Z0-9]{1,15})/(0|[1-9][0-9]?)")
_PLAIN = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")
# 2**53 - 1 has 16 digits; a longer whole part is too large at every scale. Testing the length first
# keeps a megabyte of digits from ever reaching int().
_WHOLE_DIGITS_MAX = 16
_POWERS: tuple[int, ...] = tuple(int(10**scale) for scale in range(SCALE_MAX + 1))
_CENT_DIGITS = 2
# Shares may miss 1 by this much, in units of 10**-SHARE_DIGITS_MAX (spec §5.5: 0.000001).
_SHARE_ONE = 10**SHARE_DIGITS_MAX
_SHARE_TOLERANCE = 10 ** (SHARE_DIGITS_MAX - 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A unit with its scale, written `USD/2`. The scale is part of the name and never changes."""

    code: str
    currency: str
    scale: int

    @classmethod
    def parse(cls, code: str, field: str = "asset") -> Asset:
        """Read `USD/2`. Raises InvalidField when it is not currency, slash and a scale of 0-12."""
        return _parse_asset(code, field)

    @property
    def minor_per_major(self) -> int:
        """How many minor units make one major unit: 100 for `USD/2`."""
        return _POWERS[self.scale]

    def __str__(self) -> str:
        return self.code


@lru_cache(maxsize=256)
def _parse_asset(code: str, field: str) -> Asset:
    match = _ASSET.fullmatch(code)
    if match is None or int(match[2]) > SCALE_MAX:
        raise InvalidField(field=field, reason="not an asset such as USD/2")
    return Asset(code=code, currency=match[1], scale=int(match[2]))


USD: Final = Asset(code="USD/2", currency="USD", scale=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An exact quantity of one asset; it may be negative, as the difference of two amounts is."""

    minor: int
    asset: Asset

    def __post_init__(self) -> None:
        if type(self.minor) is not int or not -MAX_MINOR <= self.minor <= MAX_MINOR:
            raise AmountMalformed(field="minor")

    def __add__(self, other: Money) -> Money:
        return Money(minor=self.minor + self._same(other), asset=self.asset)

    def __sub__(self, other: Money) -> Money:
        return Money(minor=self.minor - self._same(other), asset=self.asset)

    def __neg__(self) -> Money:
        return Money(minor=-self.minor, asset=self.asset)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._same(other)

    def __str__(self) -> str:
        return f"{format_exact(self.minor, self.asset)} {self.asset.currency}"

    def allocate(self, weights: Sequence[int]) -> tuple[Money, ...]:
        """Divide by weight with the largest remainder; the parts sum to self exactly."""
        return tuple(Money(minor=part, asset=self.asset) for part in allocate(self.minor, weights))

    def _same(self, other: Money) -> int:
        if other.asset != self.asset:
            raise InvalidField(
                field="asset", reason=f"cannot combine {self.asset.code} with {other.asset.code}"
            )
        return other.minor


def parse_amount(text: str, asset: Asset, field: str) -> int:
    """Read an amount in major units, exactly, from the text of a JSON number or string.

    Raises AmountMalformed (exponent, sign, NaN, leading zeros, blanks, above 2**53 - 1 minor
    units), AmountNotPositive (zero) or AmountOverScale (digits below the minor unit).
    """
    match = _PLAIN.fullmatch(text)
    if match is None or len(match[1]) > _WHOLE_DIGITS_MAX:
        raise AmountMalformed(field=field)
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > asset.scale:
        raise AmountOverScale(field=field, scale=asset.scale)
    minor = int(match[1] + fraction.ljust(asset.scale, "0"))
    if minor == 0:
        raise AmountNotPositive(field=field)
    if minor > MAX_MINOR:
        raise AmountMalformed(field=field)
    return minor


def format_exact(minor: int, asset: Asset) -> str:
    """Write minor units as the exact decimal text of the major unit: 9595 -> `95.95`."""
    sign, digits = ("-", -minor) if minor < 0 else ("", minor)
    if asset.scale == 0:
        return f"{sign}{digits}"
    whole, part = divmod(digits, asset.minor_per_major)
    return f"{sign}{whole}.{part:0{asset.scale}d}"


def two_decimals(minor: int, asset: Asset) -> str:
    """Write minor units with exactly two decimals, halves rounded away from zero.

    The text is what the edge prints as a JSON number; `format_exact` stands beside it.
    """
    sign, digits = ("-", -minor) if minor < 0 else ("", minor)
    if asset.scale <= _CENT_DIGITS:
        cents = digits * _POWERS[_CENT_DIGITS - asset.scale]
    else:
        unit = _POWERS[asset.scale - _CENT_DIGITS]
        cents = (2 * digits + unit) // (2 * unit)
    if cents == 0:
        sign = ""
    return f"{sign}{cents // 100}.{cents % 100:02d}"


def allocate(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Divide `total` >= 0 by weight: floors first, then one unit each by largest remainder.

    Ties go to the earlier weight. The parts sum to `total` and none is negative.
    """
    weight_sum = sum(weights)
    assert total >= 0, "allocate divides what is there"
    assert weight_sum > 0, "allocate needs a positive weight"
    assert min(weights) >= 0, "allocate takes no negative weights"
    parts = [total * weight // weight_sum for weight in weights]
    left_over = total - sum(parts)
    if left_over:
        by_remainder = sorted(
            range(len(weights)), key=lambda at: (-(total * weights[at] % weight_sum), at)
        )
        for at in by_remainder[:left_over]:
            parts[at] += 1
    return tuple(parts)


def parse_shares(shares: Sequence[str], field: str = "splits") -> tuple[int, ...]:
    """Read exact decimal shares as integer weights over one common denominator.

    Raises InvalidField for a share that is not a plain decimal above zero, SharesNotOne when they
    miss 1 by more than 0.000001.
    """
    weights = []
    for at, share in enumerate(shares):
        match = _PLAIN.fullmatch(share)
        fraction = ((match[2] or "") if match else "").rstrip("0")
        if match is None or len(match[1]) > _WHOLE_DIGITS_MAX or len(fraction) > SHARE_DIGITS_MAX:
            raise InvalidField(field=f"{field}[{at}].share", reason="not a plain decimal")
        weight = int(match[1] + fraction.ljust(SHARE_DIGITS_MAX, "0"))
        if weight == 0:
            raise InvalidField(field=f"{field}[{at}].share", reason="must be above zero")
        weights.append(weight)
    if abs(sum(weights) - _SHARE_ONE) > _SHARE_TOLERANCE:
        raise SharesNotOne()
    return tuple(weights)


def split_shares(
    net_minor: int, shares: Sequence[str], *, gross_minor: int | None = None
) -> tuple[int, ...]:
    """Divide a deal's net among its payees over the actual sum of their shares.

    Raises what `parse_shares` raises, and NetBelowMinimum when a payee would get nothing.
    """
    parts = allocate(net_minor, parse_shares(shares))
    if min(parts) < 1:
        gross = net_minor if gross_minor is None else gross_minor
        raise NetBelowMinimum(gross_minor=gross, fees_minor=gross - net_minor)
    return parts
