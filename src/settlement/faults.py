"""Named fault points: places where a test may crash, fail or hold up this process.

For: chaos tests, which start a process with `SETTLEMENT_FAULTS="engine.before_commit:kill@3,..."`:
a point, an action (`kill` by SIGKILL, `raise`, `sleep=MILLISECONDS`) and, after `@`, at which pass
of the point it acts (default the first; `@*` every one).
Guarantees: without that variable a point costs one test of an empty dictionary. What acts says so
on standard error first, so a test can prove that its point was reached.
Does not: read the variable again after import; change what the code around it means.
Change colour: green.
"""

from __future__ import annotations

import os
import signal
import time
from itertools import count


class FaultInjectedError(Exception):
    """What `raise` raises: an error that no code expects."""


class _Armed:
    """One armed point: what it does, and at which pass."""

    def __init__(self, spec: str) -> None:
        self.action, _, at = spec.partition("@")
        self.at = 0 if at == "*" else int(at or 1)
        self.passes = count(1)

    def act(self, point: str) -> None:
        """Do it, if this is the pass."""
        if self.at not in (0, next(self.passes)):
            return
        os.write(2, f"fault {point}: {self.action}\n".encode())
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action == "raise":
            raise FaultInjectedError(point)
        time.sleep(int(self.action.removeprefix("sleep=")) / 1000)


_ARMED = {
    point: _Armed(spec)
    for point, _, spec in (
        part.partition(":") for part in os.environ.get("SETTLEMENT_FAULTS", "").split(",") if part
    )
}


def fault(point: str) -> None:
    """Pass a named point; nothing happens unless the environment armed it at start."""
    if _ARMED and point in _ARMED:
        _ARMED[point].act(point)
