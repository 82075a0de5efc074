"""Settings of the rate limits: the mode's figures are the default, single ones can be changed.

For: `config.Settings`, and the benchmarks, which widen every limit.
Guarantees: a name that is no bucket and a figure that is no rate are refused with what is expected;
no figure is so large that its arithmetic leaves 63 bits.
Does not: hold the figures (`core/limits.py`).

Spec §12.3. Change colour: amber.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Final

from settlement.config import readers
from settlement.config.table import setting
from settlement.core.limits import NAMES, Limit, limit

ALL: Final = "all"
OFF: Final = "off"
_RATE: Final = re.compile(r"([1-9][0-9]{0,5}|1000000)/([0-9]{1,6})(?:\.([0-9]{1,3}))?")
_FORM: Final = "capacity/refill per second, such as 120/2 or 5/0.1, or off"


def rates(text: str) -> tuple[tuple[str, Limit | None], ...]:
    """Limits by bucket: `settle=120/2,go=off`; `all` stands for every one, later names win."""
    found: dict[str, Limit | None] = {}
    for part in readers.names(text):
        name, sign, figure = part.partition("=")
        if not sign:
            raise ValueError(f"{part!r} is not of the form bucket=120/2")
        if name == ALL:
            found.update(dict.fromkeys(sorted(NAMES), _rate(figure)))
        elif name in NAMES:
            found[name] = _rate(figure)
        else:
            near = difflib.get_close_matches(name, sorted(NAMES), n=1)
            hint = f", perhaps {near[0]}" if near else f"; there are {', '.join(sorted(NAMES))}"
            raise ValueError(f"there is no bucket {name!r}{hint}")
    return tuple(found.items())


def _rate(figure: str) -> Limit | None:
    if figure == OFF:
        return None
    match = _RATE.fullmatch(figure)
    if match is None:
        raise ValueError(f"{figure!r} is not {_FORM}")
    capacity, whole, part = match.groups()
    thousandths = int(whole) * 1000 + int((part or "").ljust(3, "0"))
    if not thousandths:
        raise ValueError(f"{figure!r} never refills; it must be {_FORM}")
    return limit(int(capacity), thousandths)


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """How often a caller may call."""

    rate_limits: tuple[tuple[str, Limit | None], ...] = field(
        metadata=setting(
            "",
            rates,
            "Rate limits that differ from the mode's, by bucket, as capacity/refill per second:"
            " `settle=120/2,reads=off`; `all=...` is every bucket.",
        )
    )
    rate_processes: int = field(
        metadata=setting(
            "0",
            readers.whole(0, 10_000),
            "Server processes, on all machines, that share the limits each counts alone (reads,"
            " addresses); 0: those this command starts.",
        )
    )
