"""How many things each caller may have going at once in this process.

For: calls that wait for strangers, so that one caller does not hold the threads of all.
Guarantees: never more than the limit per caller; what ends, however it ends, makes room at once;
callers who have nothing going take no memory.
Does not: wait for room, or know of other processes; each has threads of its own.

Change colour: amber.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class AtOnce:
    """A limit per caller; safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._going: Counter[str] = Counter()

    @contextmanager
    def turn(self, caller: str) -> Iterator[bool]:
        """True with a place taken for the length of the block; False when there is none left."""
        with self._lock:
            free = self._going[caller] < self._most
            self._going[caller] += free
        try:
            yield free
        finally:
            with self._lock:
                self._going[caller] -= free
                if self._going[caller] == 0:
                    del self._going[caller]
