"""OCS: an agent's outcome score, its tier, and what follows from it (spec §15).

Guarantees: exact rational arithmetic, rounded once; no single counterparty makes a reputation: each
counts for at most the larger of 2 and a fifth of the raw weight; a new agent shows 50.
Does not: read deals. Which outcomes count (closed, with a known buyer who is not the seller) is the
reader's rule.

Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from settlement.core.clock import DAY_US

if TYPE_CHECKING:
    from collections.abc import Iterable

HALF_LIFE_US: Final = 180 * DAY_US
BAD_WEIGHT: Final = 3
_CAP_LEAST: Final = Fraction(2)
_CAP_SHARE: Final = Fraction(1, 5)
#: Halved this often, an outcome weighs nothing that a hundredth could show.
_HALVINGS_MAX: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One finished deal of an agent with a counterparty."""

    counterparty: str
    good: bool
    age_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OcsTier:
    """A band of the score. Escrow and multiplier are shown, not applied."""

    name: str
    least_hundredths: int
    escrow: str
    multiplier: str


TIERS: Final = (
    OcsTier(name="elite", least_hundredths=9000, escrow="0.00", multiplier="0.85"),
    OcsTier(name="trusted", least_hundredths=7500, escrow="0.10", multiplier="0.90"),
    OcsTier(name="standard", least_hundredths=5000, escrow="0.25", multiplier="1.00"),
    OcsTier(name="probation", least_hundredths=2500, escrow="0.50", multiplier="1.10"),
    OcsTier(name="restricted", least_hundredths=0, escrow="1.00", multiplier="1.25"),
)
START_HUNDREDTHS: Final = 5000


def score_hundredths(outcomes: Iterable[Outcome]) -> int:
    """100 * (S + 5) / (N + 10) in hundredths, half-up: S the good weight, N all of it."""
    good: dict[str, Fraction] = {}
    whole: dict[str, Fraction] = {}
    for outcome in outcomes:
        halvings = min(max(outcome.age_us, 0) // HALF_LIFE_US, _HALVINGS_MAX)
        weight = Fraction(1 if outcome.good else BAD_WEIGHT, 1 << halvings)
        who = outcome.counterparty
        whole[who] = whole.get(who, Fraction(0)) + weight
        if outcome.good:
            good[who] = good.get(who, Fraction(0)) + weight
    cap = max(_CAP_LEAST, _CAP_SHARE * sum(whole.values(), Fraction(0)))
    counted = Fraction(0)
    counted_good = Fraction(0)
    for who, weight in whole.items():
        kept = min(weight, cap)
        counted += kept
        counted_good += good.get(who, Fraction(0)) * kept / weight
    exact = 10_000 * (counted_good + 5) / (counted + 10)
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def tier_of(hundredths: int) -> OcsTier:
    """The band of a score."""
    return next(tier for tier in TIERS if hundredths >= tier.least_hundredths)


def hundredths_text(hundredths: int) -> str:
    """A score as decimal text: 5000 -> `50.00`."""
    return f"{hundredths // 100}.{hundredths % 100:02d}"
