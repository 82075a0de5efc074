"""Fee policies and the one exact fee formula.

Guarantees: a fee is computed in integers and rounded once, half-up; net is what remains, so
gross = platform_fee + protocol_fee + net cannot fail; a policy is an immutable document with a
hash, and a quote names policy, hash, tier and volume, so any approved fee can be recomputed.
Does not: look up volumes, choose the active policy, or change anything already approved.

Spec §3. Change colour: red.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from settlement.core.canonical import Json, framed_hash, k_bytes
from settlement.core.errors import InvalidField, NetBelowMinimum

if TYPE_CHECKING:
    from settlement.core.money import Asset

PPM: Final = 10**6
_ROUNDING: Final = "half_up"
_WINDOW_DAYS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTier:
    """One volume band; `min_volume` and `flat` are decimal text in major units."""

    name: str
    min_volume: str
    rate_ppm: int
    flat: str
    multiplier_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformRate:
    """One named part of the platform fee."""

    name: str
    rate_ppm: int
    flat: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeePolicy:
    """An immutable fee document; tiers rise by volume and the first starts at zero."""

    id: str
    tiers: tuple[FeeTier, ...]
    platform: tuple[PlatformRate, ...] = ()
    window_days: int = _WINDOW_DAYS
    rounding: str = _ROUNDING

    def __post_init__(self) -> None:
        floors = [decimal_units(tier.min_volume, PPM, "min_volume") for tier in self.tiers]
        rising = all(low < high for low, high in pairwise(floors))
        if not floors or floors[0] != 0 or not rising:
            raise InvalidField(field="tiers", reason="must start at volume 0 and rise")
        rates = [row.rate_ppm for row in self.tiers] + [row.rate_ppm for row in self.platform]
        if min(rates + [tier.multiplier_ppm for tier in self.tiers]) < 0:
            raise InvalidField(field="tiers", reason="rates may not be negative")
        for flat in [row.flat for row in self.tiers] + [row.flat for row in self.platform]:
            decimal_units(flat, PPM, "flat")
        if self.rounding != _ROUNDING:
            raise InvalidField(field="rounding", reason="only half_up is defined")

    def document(self) -> dict[str, Json]:
        """The document whose hash names this policy."""
        return {
            "id": self.id,
            "window_days": self.window_days,
            "rounding": self.rounding,
            "tiers": [
                {
                    "name": tier.name,
                    "min_volume": tier.min_volume,
                    "rate_ppm": tier.rate_ppm,
                    "flat": tier.flat,
                    "multiplier_ppm": tier.multiplier_ppm,
                }
                for tier in self.tiers
            ],
            "platform": [
                {"name": row.name, "rate_ppm": row.rate_ppm, "flat": row.flat}
                for row in self.platform
            ],
        }

    @property
    def hash(self) -> str:
        """fee_policy_hash = F(fee-policy; K(document))."""
        return _policy_hash(self)

    def tier(self, name: str) -> FeeTier:
        """The tier of that name; raises InvalidField when the policy has none."""
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise InvalidField(field="tier", reason=f"policy {self.id} has no tier {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeComponent:
    """One named platform fee, computed."""

    name: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeQuote:
    """A gross taken apart, with everything needed to take it apart again."""

    gross_minor: int
    platform_minor: int
    protocol_minor: int
    net_minor: int
    components: tuple[FeeComponent, ...]
    tier: str
    policy_id: str
    policy_hash: str
    volume_minor: int


@lru_cache(maxsize=64)
def _policy_hash(policy: FeePolicy) -> str:
    return framed_hash("fee-policy", k_bytes(policy.document()))


@lru_cache(maxsize=512)
def decimal_units(text: str, per_unit: int, field: str) -> int:
    """Read decimal text as a whole number of 1/per_unit; per_unit is a power of ten.

    Raises InvalidField when the text is not a plain decimal or is finer than that.
    """
    whole, dot, fraction = text.partition(".")
    digits_max = len(str(per_unit)) - 1
    plain = whole.isascii() and whole.isdecimal() and len(whole) <= len(str(PPM**3))
    if dot:
        plain = plain and fraction.isascii() and fraction.isdecimal()
    if not plain or (whole[0] == "0" and len(whole) > 1) or len(fraction) > digits_max:
        raise InvalidField(field=field, reason="not a plain decimal of that precision")
    return int(whole + fraction.ljust(digits_max, "0"))


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _rate_and_flat_ppm(gross_minor: int, rate_ppm: int, flat: str, asset: Asset) -> int:
    """G*r + f in millionths of a minor unit. A flat below the minor unit stays exact."""
    return gross_minor * rate_ppm + decimal_units(flat, PPM, "flat") * asset.minor_per_major


def protocol_fee(gross_minor: int, tier: FeeTier, asset: Asset) -> int:
    """The protocol fee in minor units: (G*r + f) * m, exact, rounded half-up once."""
    before = _rate_and_flat_ppm(gross_minor, tier.rate_ppm, tier.flat, asset)
    return _half_up(before * tier.multiplier_ppm, PPM * PPM)


def choose_tier(policy: FeePolicy, volume_minor: int, asset: Asset) -> FeeTier:
    """The last tier whose min_volume the seller's rolling volume has reached."""
    chosen = policy.tiers[0]
    volume_ppm = volume_minor * PPM
    for tier in policy.tiers[1:]:
        if decimal_units(tier.min_volume, PPM, "min_volume") * asset.minor_per_major <= volume_ppm:
            chosen = tier
    return chosen


def split_fees(
    policy: FeePolicy, gross_minor: int, asset: Asset, *, volume_minor: int, tier: str | None = None
) -> FeeQuote:
    """Take a gross apart under a policy, by volume, or by the tier pinned at GO when it is named.

    Raises NetBelowMinimum when less than one minor unit would remain.
    """
    band = choose_tier(policy, volume_minor, asset) if tier is None else policy.tier(tier)
    protocol_minor = protocol_fee(gross_minor, band, asset)
    components = tuple(
        FeeComponent(
            name=row.name,
            amount_minor=_half_up(
                _rate_and_flat_ppm(gross_minor, row.rate_ppm, row.flat, asset), PPM
            ),
        )
        for row in policy.platform
    )
    platform_minor = sum(part.amount_minor for part in components)
    net_minor = gross_minor - platform_minor - protocol_minor
    if net_minor < 1:
        raise NetBelowMinimum(gross_minor=gross_minor, fees_minor=platform_minor + protocol_minor)
    return FeeQuote(
        gross_minor=gross_minor,
        platform_minor=platform_minor,
        protocol_minor=protocol_minor,
        net_minor=net_minor,
        components=components,
        tier=band.name,
        policy_id=policy.id,
        policy_hash=policy.hash,
        volume_minor=volume_minor,
    )


def _rows(document: Mapping[str, Json], name: str) -> list[Mapping[str, Json]]:
    rows = document.get(name)
    if not isinstance(rows, (list, tuple)):
        raise InvalidField(field=name, reason="must be a list")
    found = [row for row in rows if isinstance(row, Mapping)]
    if len(found) != len(rows):
        raise InvalidField(field=name, reason="must hold objects")
    return found


def _text(row: Mapping[str, Json], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise InvalidField(field=name, reason="must be text")
    return value


def _whole(row: Mapping[str, Json], name: str) -> int:
    value = row.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidField(field=name, reason="must be an integer")
    return value


def policy_from_document(document: Mapping[str, Json]) -> FeePolicy:
    """Read a stored or submitted policy document; raises InvalidField naming what is wrong."""
    return FeePolicy(
        id=_text(document, "id"),
        window_days=_whole(document, "window_days"),
        rounding=_text(document, "rounding"),
        tiers=tuple(
            FeeTier(
                name=_text(row, "name"),
                min_volume=_text(row, "min_volume"),
                rate_ppm=_whole(row, "rate_ppm"),
                flat=_text(row, "flat"),
                multiplier_ppm=_whole(row, "multiplier_ppm"),
            )
            for row in _rows(document, "tiers")
        ),
        platform=tuple(
            PlatformRate(
                name=_text(row, "name"), rate_ppm=_whole(row, "rate_ppm"), flat=_text(row, "flat")
            )
            for row in _rows(document, "platform")
        ),
    )


def _tier(name: str, min_volume: str, rate_ppm: int, flat: str, multiplier_ppm: int) -> FeeTier:
    return FeeTier(
        name=name,
        min_volume=min_volume,
        rate_ppm=rate_ppm,
        flat=flat,
        multiplier_ppm=multiplier_ppm,
    )


DISCOUNTS_1: Final = FeePolicy(
    id="discounts-1",
    tiers=(
        _tier("base", "0", 28_000, "0.28", 1_000_000),
        _tier("1k", "1000", 28_000, "0.28", 950_000),
        _tier("10k", "10000", 28_000, "0.28", 900_000),
        _tier("50k", "50000", 28_000, "0.28", 850_000),
    ),
)

TIERS_2026: Final = FeePolicy(
    id="tiers-2026",
    tiers=(
        _tier("starter", "0", 28_000, "0.28", 1_000_000),
        _tier("growth", "10000", 20_000, "0.20", 1_000_000),
        _tier("scale", "100000", 12_000, "0.10", 1_000_000),
        _tier("enterprise", "1000000", 8_000, "0.05", 1_000_000),
    ),
)

POLICIES: Final[Mapping[str, FeePolicy]] = {
    policy.id: policy for policy in (DISCOUNTS_1, TIERS_2026)
}
