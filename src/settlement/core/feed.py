"""The econ feed: what may be said about an hour of settlements without saying it of anybody.

For: `service/feed.py`, which reads the settled facts of an hour and stores what is released.
Guarantees: a vertical shows only with enough distinct buyers and sellers, none of whom makes up
most of it; totals show only where subtracting what is shown tells of no single vertical, to an
outsider or to a party of one of them. The guards raise, they do not assert: they hold under
`python -O`, at import and at every release.
Does not: choose the hour, or count deals without an authenticated buyer and seller; hours are
disjoint and released once, so no two releases can be subtracted.

Spec §14. Change colour: red (what is released cannot be taken back).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from settlement.core.misconfigured import ConfigError
from settlement.core.money import two_decimals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from settlement.core.money import Asset

K_ANONYMITY_THRESHOLD: Final = 5
ROUNDING_PRECISION: Final = 0
ECON_FEED_DELAY_SECONDS: Final = 3600

_LEAST_K: Final = 5
_LEAST_DELAY_SECONDS: Final = 3600
_MOST_DIGITS: Final = 0
#: Shares of a side's gross above which a vertical tells of its largest parties, in percent.
_LARGEST_PERCENT: Final = 50
_TWO_LARGEST_PERCENT: Final = 80
_LEAST_HIDDEN: Final = 2

#: Lower bound and label, falling. A vertical that shows has at least five deals.
_COUNT_BUCKETS: Final = ((100, "100+"), (50, "50-99"), (25, "25-49"), (10, "10-24"), (0, "5-9"))
_PRICE_BANDS: Final = (
    (1000, "1000+"),
    (500, "500-999"),
    (100, "100-499"),
    (50, "50-99"),
    (10, "10-49"),
    (0, "<10"),
)


def check_guards(k: int, rounding: int, delay_seconds: int) -> None:
    """Raise ConfigError for a threshold, a precision or a delay that would give parties away."""
    if k < _LEAST_K:
        raise ConfigError(
            "K_ANONYMITY_THRESHOLD", str(k), f"fewer than {_LEAST_K} can be told apart", _RAISE_IT
        )
    if rounding > _MOST_DIGITS:
        raise ConfigError(
            "ROUNDING_PRECISION", str(rounding), "public figures are whole", "Set it to 0."
        )
    if delay_seconds < _LEAST_DELAY_SECONDS:
        raise ConfigError(
            "ECON_FEED_DELAY_SECONDS",
            str(delay_seconds),
            f"figures younger than {_LEAST_DELAY_SECONDS} s tell who is trading now",
            _RAISE_IT,
        )


_RAISE_IT: Final = "Raise it; nothing is released until then."
check_guards(K_ANONYMITY_THRESHOLD, ROUNDING_PRECISION, ECON_FEED_DELAY_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What one buyer and one seller settled in one vertical in the hour."""

    vertical: str
    buyer: str
    seller: str
    deals: int
    gross_minor: int


_Side: TypeAlias = dict[str, int]


@dataclass(slots=True, kw_only=True)
class Cell:
    """One vertical, or several together, in one hour: the gross per party on each side."""

    gross_minor: int = 0
    deals: int = 0
    buyers: _Side = field(default_factory=dict)
    sellers: _Side = field(default_factory=dict)

    def add(self, fact: Fact) -> None:
        """Count one fact in."""
        self.gross_minor += fact.gross_minor
        self.deals += fact.deals
        self.buyers[fact.buyer] = self.buyers.get(fact.buyer, 0) + fact.gross_minor
        self.sellers[fact.seller] = self.sellers.get(fact.seller, 0) + fact.gross_minor

    def is_shown(self, k: int) -> bool:
        """Tell whether no party of this cell can be made out in its figures."""
        return all(
            len(side) >= k and not _dominated(side, self.gross_minor)
            for side in (self.buyers, self.sellers)
        )


def _dominated(side: Mapping[str, int], gross_minor: int) -> bool:
    """Tell whether the largest, or the two largest, make up too much of a side."""
    largest = sorted(side.values(), reverse=True)[:2]
    return (
        100 * largest[0] > _LARGEST_PERCENT * gross_minor
        or 100 * sum(largest) > _TWO_LARGEST_PERCENT * gross_minor
    )


def _apply_k_anonymity(
    gmv: Mapping[str, int], deal_counts: Mapping[str, int], k: int
) -> dict[str, int]:
    """The verticals' volumes without those of fewer than k deals."""
    return {name: minor for name, minor in gmv.items() if deal_counts.get(name, 0) >= k}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What is said of one hour: to everybody, and to holders of scope feed:premium."""

    public: dict[str, Any]
    premium: dict[str, Any]


def release(
    facts: Iterable[Fact], asset: Asset, *, k: int, rounding: int, delay_seconds: int
) -> Release:
    """The figures of an hour; raises ConfigError when a guard does not hold."""
    check_guards(k, rounding, delay_seconds)
    kept = list(facts)
    cells: dict[str, Cell] = {}
    for fact in kept:
        cells.setdefault(fact.vertical, Cell()).add(fact)
    gmv = {name: cell.gross_minor for name, cell in cells.items()}
    enough = _apply_k_anonymity(gmv, {name: cell.deals for name, cell in cells.items()}, k)
    shown = {name: cells[name] for name in sorted(enough) if cells[name].is_shown(k)}
    hidden = [fact for fact in kept if fact.vertical not in shown]
    total = _total(kept) if _may_total(hidden, k) else None
    common = {
        "delay_applied_seconds": delay_seconds,
        "k_anonymity_threshold": k,
        "rounding_precision": rounding,
        "currency": asset.currency,
        "suppressed_verticals_count": len(cells) - len(shown),
    }
    return Release(
        public={
            **common,
            "verticals": {name: _public(cell, asset) for name, cell in shown.items()},
            "totals": None if total is None else _public(total, asset),
        },
        premium={
            **common,
            "verticals": {name: _premium(cell, asset) for name, cell in shown.items()},
            "totals": None if total is None else _premium_total(total, asset),
        },
    )


def _total(facts: Sequence[Fact]) -> Cell:
    cell = Cell()
    for fact in facts:
        cell.add(fact)
    return cell


def _may_total(hidden: Sequence[Fact], k: int) -> bool:
    """Tell whether the hidden verticals' sum, which totals give away, tells of none of them.

    Two at least, and as a cell they pass the same tests. Beyond the spec: it must still be a sum
    of two to a party that takes its own deals out of it.
    """
    if not hidden:
        return True
    verticals = {fact.vertical for fact in hidden}
    if len(verticals) < _LEAST_HIDDEN or not _total(hidden).is_shown(k):
        return False
    alone: dict[str, int] = {}
    for party in itertools.chain.from_iterable(_in_every_fact(hidden).values()):
        alone[party] = alone.get(party, 0) + 1
    return len(verticals) - max(alone.values(), default=0) >= _LEAST_HIDDEN


def _in_every_fact(facts: Iterable[Fact]) -> dict[str, set[str]]:
    """Per vertical, who takes part in all of it: without its own deals it sees nothing there."""
    found: dict[str, set[str]] = {}
    for fact in facts:
        pair = {fact.buyer, fact.seller}
        found[fact.vertical] = found.get(fact.vertical, pair) & pair
    return found


# --- figures -------------------------------------------------------------------------------------


def _label(value: int, bands: Sequence[tuple[int, str]]) -> str:
    return next(label for least, label in bands if value >= least)


def _public(cell: Cell, asset: Asset) -> dict[str, Any]:
    """Whole currency, half up; counts and prices in bands."""
    unit = 10**asset.scale
    average = cell.gross_minor // cell.deals if cell.deals else 0
    return {
        "gmv_usd": str((2 * cell.gross_minor + unit) // (2 * unit)),
        "deal_count_bucket": _label(cell.deals, _COUNT_BUCKETS) if cell.deals else "0",
        "avg_price_band": _label(average // unit, _PRICE_BANDS),
    }


def _premium(cell: Cell, asset: Asset) -> dict[str, Any]:
    return {
        **_premium_total(cell, asset),
        "buyer_count": len(cell.buyers),
        "seller_count": len(cell.sellers),
    }


def _premium_total(cell: Cell, asset: Asset) -> dict[str, Any]:
    """No party counts: of a sum over verticals they could be subtracted."""
    return {"gmv_usd": two_decimals(cell.gross_minor, asset), "deal_count": cell.deals}
