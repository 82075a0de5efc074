"""Claims and leases without a database: a journal in a directory, behind one file lock.

For: work that must happen once although no database is at hand (backup, command line). Money is
claimed by rows of `claim`, committed with it (spec §6), never here.
Guarantees: one holder per name among all threads and processes of a machine; what was answered is
on disk; fences grow across restart, compaction and restore. Time is that of the machine's boot, set
by the clock once per boot, and never goes back: a clock that jumps neither ends nor revives a
claim. Where the system tells no uptime, it is max(clock, last written).
Does not: stop a holder whose time is up; only the fence in its writes does that. Serve a directory
shared between machines.

Spec §7. Change colour: red.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from settlement.core.canonical import Json, k_bytes
from settlement.core.clock import SECOND_US, time_text
from settlement.core.errors import DatabaseUnavailable, LeaseLost, StoreCorrupt
from settlement.service.claims.journal import LOCK_WAIT_SECONDS, Journal
from settlement.service.claims.records import (
    Boot,
    Claim,
    Epoch,
    Misfit,
    Name,
    Put,
    Record,
    Release,
    Renew,
    State,
)
from settlement.store.database import SystemClock
from settlement.store.lease_clock import machine_uptime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.core.clock import Clock
    from settlement.store.lease_clock import Uptime

Entry: TypeAlias = "dict[str, Any]"

#: Owner of a claim made by claim_or_get, which names none: its fence alone tells it apart.
CALLER: Final = "caller"
_LINES_KEPT: Final = 1024  # a journal this short is not worth a compaction


class FileLockBackend:
    """Claims in `directory`. Threads and forks may share one; processes open their own."""

    def __init__(
        self,
        directory: str | Path,
        *,
        clock: Clock | None = None,
        uptime: Uptime = machine_uptime,
        lock_wait_seconds: int = LOCK_WAIT_SECONDS,
    ) -> None:
        self._journal = Journal(Path(directory), lock_wait_seconds)
        self._clock = clock or SystemClock()
        self._uptime = uptime
        self._state = State()  # these two: under the journal's lock
        self._tidy_at = _LINES_KEPT
        self._mine = threading.local()

    # --- claims ----------------------------------------------------------------------------------

    def claim_or_get(self, key: str, ttl_seconds: int = 300) -> tuple[bool, Entry | None]:
        """(True, None): it is yours. (False, entry): held, or done with a result.

        The backend remembers, per thread, the fence it gave; `fence_of` tells it.
        """
        with self._call() as now_us:
            name = self._state.names.get(key)
            if name is not None and name.live(now_us):
                return False, _entry(key, name)
            self._fences()[key], _ = self._claim(key, CALLER, ttl_seconds, now_us)
            return True, None

    def put(
        self, key: str, result: Json, metadata: Json = None, *, fence: int | None = None
    ) -> None:
        """Store the result of a claim; the same result again is fine. Raises LeaseLost.

        Without `fence`, that of this thread's last claim of the key. Raises CanonicalForm for what
        is not text, integers, booleans, null, lists and objects.
        """
        wanted = k_bytes([result, metadata])
        held = self._own(key, fence)
        with self._call() as now_us:
            name = self._state.names.get(key)
            done = name.done if name is not None and name.fence == held else None
            if done is None:
                self._check(key, held)
                self._write(
                    Put(at_us=now_us, key=key, fence=held, result=result, metadata=metadata)
                )
            elif k_bytes([done.result, done.metadata]) != wanted:
                raise LeaseLost(name=key)

    def release(self, key: str, *, fence: int | None = None) -> None:
        """Give a claim back, so that another may take it at once. Raises LeaseLost."""
        held = self._own(key, fence)
        with self._call() as now_us:
            self._check(key, held)
            self._write(Release(at_us=now_us, key=key, fence=held))
        if self.fence_of(key) == held:
            del self._fences()[key]

    @contextmanager
    def guarded(self, key: str, *, fence: int) -> Iterator[None]:
        """Do something short to another file while nobody can take the claim over.

        Raises LeaseLost, before anything is done, on a fence that is not current. All other calls
        of all processes wait meanwhile.
        """
        with self._call():
            self._check(key, fence)
            yield

    def get(self, key: str) -> Entry | None:
        """The entry of a key that is held or done."""
        with self._call() as now_us:
            name = self._state.names.get(key)
            return _entry(key, name) if name is not None and name.live(now_us) else None

    def has(self, key: str) -> bool:
        """The key is held or done."""
        return self.get(key) is not None

    def fence_of(self, key: str) -> int | None:
        """The fence of this thread's last claim of the key, to hand to another thread."""
        return self._fences().get(key)

    def stats(self) -> dict[str, int]:
        """Counts of names, by state, and the size of the journal."""
        with self._call() as now_us:
            names = list(self._state.names.values())
            held = sum(1 for name in names if name.held(now_us))
            done = sum(1 for name in names if name.has_result(now_us))
            return {
                "held": held,
                "done": done,
                "expired": len(names) - held - done,
                "epoch": self._state.epoch,
                "lines": self._journal.lines,
                "bytes": self._journal.size,
            }

    def cleanup_expired(self) -> int:
        """Forget names that are free or whose time is up; how many. Their fences still grow."""
        with self._call() as now_us:
            return self._compact(now_us)

    def recover(self, at_least: int = 0) -> int:
        """After the directory was restored from a copy: void all claims, keep all results.

        Gives the new epoch, which is above every epoch in the copy and not below `at_least`: pass
        what is known to have been used since the copy was made.
        """
        with self._call() as now_us:
            epoch = max(self._state.epoch + 1, at_least)
            self._write(Epoch(at_us=now_us, epoch=epoch))
            return epoch

    # --- leases, for TTLClaimAdapter -------------------------------------------------------------

    def hold(self, key: str, owner: str, ttl_seconds: int) -> tuple[int, int] | None:
        """Take a name; (fence, expires_us), or None while it is held or done."""
        with self._call() as now_us:
            name = self._state.names.get(key)
            if name is not None and name.live(now_us):
                return None
            return self._claim(key, owner, ttl_seconds, now_us)

    def extend(self, key: str, owner: str, fence: int, ttl_seconds: int) -> int:
        """Keep a name that is still held; its new expires_us. Raises LeaseLost."""
        with self._call() as now_us:
            name = self._check(key, fence, owner)
            if not name.held(now_us):
                raise LeaseLost(name=key)  # as the table has it: once over, over
            expires_us = now_us + ttl_seconds * SECOND_US
            self._write(Renew(at_us=now_us, key=key, fence=fence, expires_us=expires_us))
            return expires_us

    def free(self, key: str, owner: str, fence: int) -> None:
        """Give a name back. Raises LeaseLost."""
        with self._call() as now_us:
            self._check(key, fence, owner)
            self._write(Release(at_us=now_us, key=key, fence=fence))

    # --- inside, under the journal's lock --------------------------------------------------------

    @contextmanager
    def _call(self) -> Iterator[int]:
        """One call: alone, up to date, at one time; tidies up if the journal has grown."""
        with self._journal.exclusive() as (start_over, recs):
            if start_over:
                self._state = State()
            try:
                for rec in recs:
                    self._state.apply(rec)
            except Misfit as error:
                self._journal.forget()
                raise StoreCorrupt(where="claims.jsonl", reason=str(error)) from error
            now_us = self._now()
            yield now_us
            if self._journal.lines > self._tidy_at:
                with suppress(DatabaseUnavailable):  # the call has succeeded; tidying can wait
                    self._compact(now_us)
                self._tidy_at = max(_LINES_KEPT, 2 * self._journal.lines)

    def _now(self) -> int:
        state, up = self._state, self._uptime()
        if up is None:
            return max(self._clock.now_us(), state.last_us)
        boot, uptime_us = up
        if state.boot.boot != boot:
            at_us = max(self._clock.now_us(), state.last_us)
            self._write(Boot(at_us=at_us, boot=boot, uptime_us=uptime_us))
        elapsed_us = uptime_us - self._state.boot.uptime_us
        return max(self._state.boot.at_us + elapsed_us, state.last_us)

    def _claim(self, key: str, owner: str, ttl_seconds: int, now_us: int) -> tuple[int, int]:
        assert ttl_seconds >= 0
        fence = self._state.next_fence(key)
        expires_us = now_us + ttl_seconds * SECOND_US
        self._write(Claim(at_us=now_us, key=key, owner=owner, fence=fence, expires_us=expires_us))
        return fence, expires_us

    def _check(self, key: str, fence: int, owner: str | None = None) -> Name:
        if self._state.is_current(key, fence):
            name = self._state.names[key]
            if owner in (None, name.owner):
                return name
        raise LeaseLost(name=key)

    def _own(self, key: str, fence: int | None) -> int:
        known = fence if fence is not None else self.fence_of(key)
        if known is None:
            raise LeaseLost(name=key)
        return known

    def _write(self, record: Record) -> None:
        rec = msgspec.to_builtins(record)
        self._journal.append(rec)
        self._state.apply(rec)  # a copy: the caller may change the result it stored

    def _compact(self, now_us: int) -> int:
        records, left_out = self._state.compacted(now_us)
        if left_out or self._journal.lines > len(records):
            self._journal.rewrite([msgspec.to_builtins(record) for record in records])
            self._state = State()
            for record in records:
                self._state.follow(record)
        return left_out

    def _fences(self) -> dict[str, int]:
        fences: dict[str, int] = self._mine.__dict__.setdefault("fences", {})
        return fences


def _entry(key: str, name: Name) -> Entry:
    if name.done is not None:
        return {
            "key": key,
            "result": deepcopy(name.done.result),
            "metadata": deepcopy(name.done.metadata),
            "stored_at": time_text(name.done.stored_us),
        }
    return {
        "key": key,
        "_claimed": True,
        "_claimed_at": time_text(name.claimed_us),
        "fence": name.fence,
    }
