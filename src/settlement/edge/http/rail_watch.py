"""Whether the rail answers: asked something harmless now and then, for `/ready`.

Guarantees: a rail is asked by one thread at a time and not more often than every ten seconds,
however many monitors there are; nobody waits longer than two seconds for it. A rail that has not
answered by then is one that does not answer, until it does.
Does not: stop effects from being sent; their own jobs find out.

Contract §3.8. Change colour: green.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from settlement.core.errors import SettlementError
from settlement.core.rail import Answering, RailSilent
from settlement.service.health import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FRESH_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 2.0


class RailWatch:
    """Watches the rail that the settings name."""

    def __init__(
        self,
        name: str,
        rails: Callable[[], Mapping[str, object]],
        *,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._name = name
        self._rails = rails  # asked for late: an app can be made to be read, without any services
        self._fresh_seconds = fresh_seconds
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._done = threading.Event()
        self._done.set()
        self._check = Check(ok=True)

    def look(self) -> Check:
        """How the rail answered last; asks it anew when that is too long ago."""
        rail = self._rails().get(self._name)
        if rail is None:
            return Check(ok=False, detail=f"There is no adapter for the rail {self._name!r}.")
        if not isinstance(rail, Answering):
            return Check(ok=True)
        with self._lock:
            now = time.monotonic()
            old = self._asked_at is None or now - self._asked_at >= self._fresh_seconds
            if old and self._done.is_set():
                self._asked_at = now
                self._done.clear()
                # A daemon: a rail that never answers must not keep the process from ending.
                threading.Thread(target=self._ask, args=(rail,), daemon=True).start()
            left = WAIT_SECONDS if self._asked_at is None else self._asked_at + WAIT_SECONDS - now
        if not self._done.wait(max(0.0, left)):
            return Check(ok=False, detail=f"The rail {self._name} does not answer.")
        return self._check

    def _ask(self, rail: Answering) -> None:
        try:
            rail.check()
            self._check = Check(ok=True)
        except (RailSilent, SettlementError, OSError) as error:
            detail = f"The rail {self._name} does not answer ({type(error).__name__})."
            self._check = Check(ok=False, detail=detail)
        finally:
            self._done.set()
