"""What `settlement doctor` finds: one thing tried, how it went, and what to do.

For: `doctor.py` and `doctor_around.py`, whose probes yield these.
Does not: try anything.
Change colour: green.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

OK: Final = "ok"
WARNING: Final = "warning"
PROBLEM: Final = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing tried: how it went, and what to do when it did not."""

    name: str
    status: str
    detail: str
    advice: str = ""


def nearest(path: Path) -> Path:
    """The directory itself, or the one in which it would be made."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
