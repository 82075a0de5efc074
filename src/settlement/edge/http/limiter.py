"""Rate limits at the edge: what this process counts by itself, and what a call is charged with.

For: `admit`, which guards addresses; `EdgeRequest`, which counts reads here and hands the engine
the charge of everything else; `problems.py` and the app, which show how a caller stands.
Guarantees: a caller is a principal, or an address without a key, never a key or a header; an
address of IPv6 is its /64, which one machine has to itself. Memory is bounded: buckets that are
whole again are forgotten, then those nearest to it.
Does not: keep the shared buckets; the database does, in the transaction of the call.

Spec §12.3, contract §0.3, §1.3. Change colour: amber.
"""

from __future__ import annotations

import heapq
import ipaddress
import time
from typing import TYPE_CHECKING, Final

from settlement.core.limits import Bucket, Charge, Limit, Standing, refused, standing, take
from settlement.core.principal import PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from settlement.core.principal import Principal

#: A route's bucket, in its options.
BUCKET_OPT: Final = "bucket"
BUCKETS_MAX: Final = 100_000
_IPV6_PREFIX: Final = 64
_UNKNOWN: Final = "unknown"
_US_IN_NS: Final = 1000
SECOND_US: Final = 1_000_000
RETRY_SECONDS_MAX: Final = 60


def network_of(host: str | None) -> str:
    """Whom an address stands for: itself, or its /64, inside of which addresses cost nothing."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return _UNKNOWN  # a socket without an address; these share what one has
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _IPV6_PREFIX), strict=False))


def who_calls(principal: Principal, network: str, bucket: Bucket) -> str:
    """The name a caller is counted under.

    Agents register as their address, too: with a bucket for each key, every agent that was made
    could make as many again, and all limits per agent would be worth nothing.
    """
    registers = bucket is Bucket.REGISTER and not principal.is_operator
    if principal.kind is PrincipalKind.ANONYMOUS or registers:
        return f"anonymous:{network}"
    return principal.id


class Limiter:
    """The limits of one process. Used by its event loop only."""

    def __init__(
        self,
        limits: Mapping[str, Limit | None],
        processes: int = 1,
        now_us: Callable[[], int] = lambda: time.monotonic_ns() // _US_IN_NS,
    ) -> None:
        self._limits = limits
        self._alone = {
            bucket: None if (of := limits[bucket.value]) is None else of.part_of(processes)
            for bucket in Bucket
            if not bucket.shared
        }
        self._now_us = now_us
        self._tats: dict[tuple[str, str], int] = {}

    def guard(self, network: str, endpoint: str) -> None:
        """Check 2: what one address may ask, whoever it says it is. Raises RateLimited."""
        self.count(Bucket.ADDRESS, network, endpoint)

    def count(self, bucket: Bucket, who: str, endpoint: str) -> Standing | None:
        """Count one call here; raises RateLimited. None: this bucket has no limit."""
        of = self._alone[bucket]
        if of is None:
            return None
        now_us = self._now_us()
        key = (bucket.value, who)
        taken = take(self._tats.get(key, 0), now_us, of)
        if taken.wait_us:
            raise refused(bucket.value, endpoint, of, taken, now_us)
        if len(self._tats) >= BUCKETS_MAX and key not in self._tats:
            self._forget(now_us)
        self._tats[key] = taken.tat_us
        return standing(bucket.value, of, taken.tat_us, now_us)

    def charge(self, bucket: Bucket, who: str, endpoint: str) -> Charge | None:
        """What a call on a shared bucket is charged with; None: it has no limit."""
        first, again = self._limits[bucket.value], self._limits[bucket.replays]
        if first is None and again is None:
            return None
        return Charge(who=who, bucket=bucket, endpoint=endpoint, first=first, again=again)

    def __len__(self) -> int:
        return len(self._tats)

    def _forget(self, now_us: int) -> None:
        self._tats = {key: tat for key, tat in self._tats.items() if tat > now_us}
        excess = len(self._tats) - BUCKETS_MAX * 9 // 10
        if excess > 0:
            # A flood of addresses. Those who gain a little by it are those who used least.
            for key in heapq.nsmallest(excess, self._tats, key=self._tats.__getitem__):
                del self._tats[key]


def rate_headers(stands: Standing) -> dict[str, str]:
    """How a caller stands, in the names in use: the draft's, and the older ones."""
    name, of = stands.bucket, stands.limit
    reset, window = whole_seconds(stands.reset_us), whole_seconds(of.window_us)
    return {
        "RateLimit-Policy": f'"{name}";q={of.capacity};w={window}',
        "RateLimit": f'"{name}";r={stands.left};t={reset}',
        "X-RateLimit-Limit": str(of.capacity),
        "X-RateLimit-Remaining": str(stands.left),
        "X-RateLimit-Reset": str(reset),
    }


def retry_after(wait_us: int) -> str:
    """Whole seconds, rounded up, 1 to 60: what clients sleep before they try again."""
    return str(min(RETRY_SECONDS_MAX, max(1, whole_seconds(wait_us))))


def exact_seconds(wait_us: int) -> str:
    """Seconds as decimal text, to the last microsecond."""
    whole, part = divmod(wait_us, SECOND_US)
    return f"{whole}.{part:06}".rstrip("0").rstrip(".")


def whole_seconds(us: int) -> int:
    """Seconds, rounded up."""
    return -(-us // SECOND_US)
