"""Lease time: what leases, retries and due times are counted by. It runs on and never jumps.

For: `Tx.lease_us`. On PostgreSQL that is the server's clock, one for all its clients. SQLite has no
clock of its own, and the system's may be set by an hour while leases run; there lease time is the
time since the machine booted, which no setting moves and all its processes share, plus an offset
that is written down once per boot.
Guarantees: two processes of one machine agree on lease time, whatever their clocks say. The holders
of an earlier boot are dead, so their leases are void when a new one begins, however long ago that
was by the clock; the fences go on growing, so nothing of theirs can still be recorded.
Does not: stamp rows. What is told to people and what money says is wall time, `Tx.now_us`. Where
the system tells no uptime, lease time is wall time.

Spec §7, ADR 0016. Change colour: red.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from settlement.core.clock import time_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from settlement.store.database import Tx

Uptime: TypeAlias = "Callable[[], tuple[str, int] | None]"

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_NAME: Final = "lease_clock_"


def machine_uptime() -> tuple[str, int] | None:
    """Which boot of the machine this is, and its age in microseconds; None where unknown."""
    boot = _boot_id()
    # Not CLOCK_MONOTONIC: that one stands still while the machine sleeps, and leases would not end.
    return (boot, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000) if boot else None


@cache
def _boot_id() -> str | None:
    if sys.platform != "linux":
        return None
    try:
        return _BOOT_ID.read_text("ascii").strip() or None
    except OSError:
        return None


class LeaseClock:
    """Lease time of one opened SQLite database."""

    def __init__(self, uptime: Uptime = machine_uptime) -> None:
        self._uptime = uptime
        #: Read from the database, so it is there to stay. What a transaction writes itself may be
        #: rolled back, and is not kept here.
        self._known: dict[str, int] = {}

    def read(self, tx: Tx, *, writes: bool) -> int:
        """Lease time now; a writer notes the offset of a boot that has none yet."""
        up = self._uptime()
        if up is None:
            return tx.now_us
        boot, age_us = up
        offset_us = self._known.get(boot)
        if offset_us is None:
            row = tx.maybe("lease_clock_find", name=_NAME + boot)
            if row is None:
                return _begin(tx, boot, age_us) if writes else tx.now_us
            offset_us = self._known[boot] = int(row["value"])
        return age_us + offset_us


def _begin(tx: Tx, boot: str, age_us: int) -> int:
    """The first transaction of a boot: now is now, and whoever held something is dead."""
    tx.run("lease_clock_void_leases")
    tx.run("lease_clock_void_jobs")
    tx.run("lease_clock_void_deliveries")
    tx.run("lease_clock_insert", name=_NAME + boot, value=str(tx.now_us - age_us))
    return tx.now_us


def shown(tx: Tx, lease_us: int) -> str:
    """A lease time as people see it."""
    return wall_text(tx.now_us, tx.lease_us, lease_us)


def wall_text(now_us: int, lease_now_us: int, lease_us: int) -> str:
    """The wall time of a lease time, as the two stand now."""
    return time_text(max(0, lease_us - lease_now_us + now_us))
