"""Time as the house keeps it: integer microseconds since 1970, and one text form (spec §1.4).

For: everybody who stamps a row or compares two stamps. The text form sorts as time does, so
databases and chains compare it as text.
Guarantees: integer arithmetic, exact both ways for the years 1970 to 9999; `parse_time` accepts
only the exact form that `time_text` writes.
Does not: read a clock. A `Clock` is handed in; the real one is `store.database.SystemClock`.
Change colour: red (stamps are hashed).
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Final, Protocol

SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US
#: The window of the volume tiers, of disputes and of kept bodies (spec §3.2, §4.4, §6.3).
WINDOW_DAYS: Final = 30

_TEXT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)\.(\d{6})Z", re.ASCII
)
_DAY_1970: Final = date(1970, 1, 1).toordinal()


class Clock(Protocol):
    """Where the time comes from."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z."""
        ...


def time_text(us: int) -> str:
    """RFC 3339 in UTC with six decimals and `Z`; raises ValueError outside 1970 to 9999."""
    seconds, fraction = divmod(us, SECOND_US)
    days, rest = divmod(seconds, 86_400)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_day_text(days)}T{hour:02d}:{minute:02d}:{second:02d}.{fraction:06d}Z"


def parse_time(text: str) -> int:
    """Microseconds of a text that `time_text` could have written; raises ValueError otherwise."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"not a time of the form 2026-01-31T12:00:00.000000Z: {text!r}")
    day, hour, minute, second, fraction = found.groups()
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second)
    return _days_of(day) * DAY_US + seconds * SECOND_US + int(fraction)


def days_before(us: int, days: int = WINDOW_DAYS) -> int:
    """The instant `days` times 24 hours earlier, but never before 1970."""
    return max(0, us - days * DAY_US)


def window_start(us: int) -> str:
    """Text of the instant at which the 30-day window that ends at `us` begins."""
    return time_text(days_before(us))


@lru_cache(maxsize=64)
def _day_text(days: int) -> str:
    if days < 0:
        raise ValueError("time before 1970")
    return date.fromordinal(days + _DAY_1970).isoformat()  # raises after 9999


@lru_cache(maxsize=64)
def _days_of(day: str) -> int:
    days = date.fromisoformat(day).toordinal() - _DAY_1970
    if days < 0:
        raise ValueError(f"time before 1970: {day}")
    return days
