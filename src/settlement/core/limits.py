"""Rate limits in integers: buckets, their figures, and the rule that takes one call out of one.

For: the engine's batch, which keeps the shared buckets in the database, and the HTTP edge, which
keeps those of its process in memory; both decide by `take`.
Guarantees: GCRA over whole microseconds (spec §12.3): a refused call changes nothing, and is
accepted when it comes again exactly `wait_us` later, not one microsecond earlier.
Does not: keep a bucket, read a clock, or know who calls.

Spec §12.3, contract §1.3. Change colour: amber (the figures are part of the contract).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from settlement.core.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Mapping

SECOND_US: Final = 1_000_000
_REPLAYS: Final = "_replays"


class Bucket(StrEnum):
    """What a call is counted as. `writes`: every other call that changes something."""

    REGISTER = "register"
    PROOF = "proof"
    GO = "go"
    SETTLE = "settle"
    PAYOUT = "payout"
    VERIFY = "verify"
    INTENTS = "intents"
    BIDS = "bids"
    KEYS = "keys"
    READS = "reads"
    WRITES = "writes"
    ADDRESS = "address"

    @property
    def shared(self) -> bool:
        """Whether all processes count together, in the database; the others count alone."""
        return self not in (Bucket.READS, Bucket.ADDRESS)

    @property
    def replays(self) -> str:
        """Where repeats of what was done already are counted (spec §1.6)."""
        return self.value + _REPLAYS


@dataclass(frozen=True, slots=True)
class Limit:
    """So many calls at once, and one more every `period_us`."""

    capacity: int
    period_us: int

    @property
    def window_us(self) -> int:
        """How long an empty bucket takes to be whole again."""
        return self.capacity * self.period_us

    def part_of(self, processes: int) -> Limit:
        """The share of one of several processes that count alone; each may always do something."""
        return Limit(max(1, self.capacity // processes), self.period_us * processes)

    def wider(self, other: Limit) -> Limit:
        """What satisfies both."""
        return Limit(max(self.capacity, other.capacity), min(self.period_us, other.period_us))


def limit(capacity: int, refill_thousandths: int = 1000) -> Limit:
    """A limit by its refill in thousandths of a call per second; the period is cut to whole us."""
    return Limit(capacity, SECOND_US * 1000 // refill_thousandths)


LIVE: Final[Mapping[Bucket, Limit]] = {
    Bucket.REGISTER: limit(5, 100),
    Bucket.PROOF: limit(30, 500),
    Bucket.GO: limit(60, 1000),
    Bucket.SETTLE: limit(30, 500),
    Bucket.PAYOUT: limit(20, 330),
    Bucket.VERIFY: limit(60, 1000),
    Bucket.INTENTS: limit(20, 330),
    Bucket.BIDS: limit(60, 1000),
    Bucket.KEYS: limit(10, 100),
    Bucket.READS: limit(300, 5000),
    Bucket.WRITES: limit(60, 1000),
    Bucket.ADDRESS: limit(600, 10_000),
}
#: Wide enough for a test suite that comes from one address.
SANDBOX: Final[Mapping[Bucket, Limit]] = {
    Bucket.REGISTER: limit(300, 10_000),
    Bucket.PROOF: limit(600, 20_000),
    Bucket.GO: limit(600, 20_000),
    Bucket.SETTLE: limit(120, 2000),
    Bucket.PAYOUT: limit(600, 20_000),
    Bucket.VERIFY: limit(600, 20_000),
    Bucket.INTENTS: limit(600, 20_000),
    Bucket.BIDS: limit(600, 20_000),
    Bucket.KEYS: limit(600, 20_000),
    Bucket.READS: limit(3000, 100_000),
    Bucket.WRITES: limit(600, 20_000),
    Bucket.ADDRESS: limit(6000, 200_000),
}
#: Of every operation's replays, or the operation's own figures where these are wider: a lost answer
#: can be fetched, a flood cannot (contract §1.3).
REPLAYS: Final = limit(120, 2000)
#: Everything a setting may name.
NAMES: Final = frozenset(
    {*(bucket.value for bucket in Bucket), *(b.replays for b in Bucket if b.shared)}
)


def limits_of(
    *, sandbox: bool, named: Mapping[str, Limit | None] | None = None
) -> Mapping[str, Limit | None]:
    """Limits by bucket: the mode's figures under what an operator named; None is no limit."""
    mode = SANDBOX if sandbox else LIVE
    figures: dict[str, Limit | None] = {bucket.value: mode[bucket] for bucket in Bucket}
    figures.update(named or {})
    for bucket in Bucket:
        if bucket.shared and bucket.replays not in figures:
            own = figures[bucket.value]
            figures[bucket.replays] = None if own is None else own.wider(REPLAYS)
    return figures


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands after a call: what is left at once, and when all of it is again."""

    bucket: str
    limit: Limit
    left: int
    reset_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What an operation is counted as, for whom. A limit of None does not count."""

    who: str
    bucket: Bucket
    endpoint: str
    first: Limit | None
    #: of repeats of what was done already, in a bucket of their own
    again: Limit | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What one call made of a bucket. wait_us: 0 when accepted, else how long until it would be."""

    tat_us: int
    wait_us: int


def take(tat_us: int, now_us: int, of: Limit) -> Taken:
    """Take one call out of a bucket whose theoretical arrival time is `tat_us` (0: untouched)."""
    # No call ever leaves more than a whole window behind. More than that means that the clock
    # went back or the limit was narrowed; without the cut a principal would wait for both.
    tat_us = min(tat_us, now_us + of.window_us)
    following = max(tat_us, now_us) + of.period_us
    wait_us = following - now_us - of.window_us
    return Taken(tat_us, wait_us) if wait_us > 0 else Taken(following, 0)


def standing(bucket: str, of: Limit, tat_us: int, now_us: int) -> Standing:
    """How a caller stands whose bucket is at `tat_us`."""
    return Standing(bucket, of, left(tat_us, now_us, of), max(0, tat_us - now_us))


def refused(bucket: str, endpoint: str, of: Limit, taken: Taken, now_us: int) -> RateLimited:
    """The refusal of a call that has to wait."""
    return RateLimited(
        bucket=bucket,
        endpoint=endpoint,
        limit=of.capacity,
        retry_after_us=taken.wait_us,
        reset_us=max(0, taken.tat_us - now_us),
        window_us=of.window_us,
    )


def left(tat_us: int, now_us: int, of: Limit) -> int:
    """How many calls would be accepted now."""
    return max(0, of.window_us - max(0, tat_us - now_us)) // of.period_us
