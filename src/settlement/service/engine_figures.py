"""What the engine counts of itself: batches, their sizes, how long they took.

For: `/health` and `/metrics`. Written by the committer alone, after each commit.
Guarantees: counting a batch is a handful of additions, whatever its size.
Does not: know the names under which this is shown.

Change colour: green.
"""

from __future__ import annotations

import time
from typing import Final

_US: Final = 1_000
_MS: Final = 1_000_000
#: Upper bounds of batch sizes: 1, 2, 4, ... 16384; larger settings of the limit count in the last.
BOUNDS: Final = tuple(1 << power for power in range(15))


class EngineFigures:
    """Figures of one engine."""

    def __init__(self) -> None:
        self.batches = 0
        self.operations = 0
        self.commit_us = 0
        self._last_ns: int | None = None
        self._sizes = [0] * len(BOUNDS)

    def committed(self, operations: int, started_ns: int) -> None:
        """A batch of so many operations was committed; it was begun then."""
        now = time.monotonic_ns()
        self.batches += 1
        self.operations += operations
        self.commit_us += (now - started_ns) // _US
        self._last_ns = now
        self._sizes[min((operations - 1).bit_length(), len(BOUNDS) - 1)] += 1

    def sizes(self) -> dict[int, int]:
        """Batches by the smallest bound that holds them."""
        return dict(zip(BOUNDS, self._sizes, strict=True))

    def last_age_ms(self) -> int | None:
        """Since the last commit; None before the first."""
        return None if self._last_ns is None else (time.monotonic_ns() - self._last_ns) // _MS
