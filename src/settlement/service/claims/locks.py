"""`distributed_lock`: a lease held for the length of a `with` block, renewed in the background.

For: work that one process at a time may do and that takes longer than a statement.
Guarantees: one holder at a time by the keeper's clock; a dead owner is replaced within ttl + 1 s.
When a renewal has not landed in time the owner is told: `check()` raises LeaseLost, `lost` is true,
and `on_lost` is called once, from a thread of the lock. In time means before the lease could have
ended for anybody else: the ttl is counted here from before the request was sent.
Does not: interrupt the owner's code, which no thread can do safely. Long work calls `check()`
between its steps, and what it writes is guarded by the fence, which alone is proof.

Spec §7. Change colour: red.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from settlement.core.errors import LeaseLost, LockUnavailable, Unavailable
from settlement.service.claims.leases import Backend, Lease, TTLClaimAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SECOND_NS: Final = 1_000_000_000
#: Rivals look this often at least, so a dead owner is noticed well within the second allowed.
_POLL_MS: Final = 250


def _elapsed_ns() -> int:
    """A count that no clock setting moves and, on Linux, that goes on while the machine sleeps."""
    if sys.platform != "linux":
        return time.monotonic_ns()
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class HeldLock:
    """A lease in use. Its members are the lease's; `expires_at` moves with every renewal."""

    def __init__(self, lease: Lease, until_ns: int, on_lost: Callable[[], None] | None) -> None:
        self._lease = lease
        self._until_ns = until_ns
        self._on_lost = on_lost
        self._lost = False
        self._closed = False
        self._changed = threading.Condition()

    @property
    def key(self) -> str:
        """What is locked."""
        return self._lease.key

    @property
    def owner(self) -> str:
        """Who holds it."""
        return self._lease.owner

    @property
    def fence(self) -> int:
        """The number for guarded writes."""
        return self._lease.fence

    @property
    def expires_at(self) -> str:
        """When it ends unless renewed, by the keeper's clock."""
        return self._lease.expires_at

    @property
    def lease(self) -> Lease:
        """The lease as last renewed."""
        return self._lease

    @property
    def lost(self) -> bool:
        """It may be another's by now. Once true, always true."""
        return self._lost or _elapsed_ns() >= self._until_ns

    def check(self) -> None:
        """Raise LeaseLost if the lease may be another's by now."""
        if self.lost:
            raise LeaseLost(name=self.key)

    # --- for the lock's threads ------------------------------------------------------------------

    def renewed(self, lease: Lease, until_ns: int) -> None:
        """Take in a renewal; one that came too late does not bring the lock back."""
        with self._changed:
            if not self.lost:
                self._lease, self._until_ns = lease, until_ns
                self._changed.notify_all()

    def lose(self) -> None:
        """Tell the owner, once."""
        with self._changed:
            if self._lost or self._closed:
                return
            self._lost = True
            self._changed.notify_all()
        if self._on_lost is not None:
            self._on_lost()

    def close(self) -> None:
        """The block has ended; what is lost now is nobody's loss."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def over(self, wait_ms: int) -> bool:
        """Wait that long, or until the lock is closed or lost; whether it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._lost, wait_ms / 1000)
            return self._closed or self._lost

    def watch(self) -> None:
        """Until the lock is closed, see to it that its owner learns when its time is up.

        A thread of its own: the one that renews may hang in the very call that should renew.
        """
        while True:
            rest_ms = (self._until_ns - _elapsed_ns()) // 1_000_000 + 1
            if rest_ms <= 0:
                self.lose()
            if self.over(max(rest_ms, 0)):
                return


@contextmanager
def distributed_lock(
    key: str,
    ttl: int = 30,
    wait: int = 10,
    *,
    backend: Backend,
    renew: bool = True,
    on_lost: Callable[[], None] | None = None,
) -> Iterator[HeldLock]:
    """Hold the lease on `key` during the block. Raises LockUnavailable after `wait` seconds.

    At the end of a block that raised nothing, LeaseLost says that another has taken over in the
    meantime: what the block wrote unguarded was not alone.
    """
    adapter = TTLClaimAdapter(backend, ttl)
    lease, until_ns = _acquire(adapter, key, wait)
    held = HeldLock(lease, until_ns, on_lost)
    threads = [threading.Thread(target=held.watch, name=f"watch {key}", daemon=True)]
    if renew:
        args = (adapter, held)
        threads.append(
            threading.Thread(target=_keep_renewing, args=args, name=f"renew {key}", daemon=True)
        )
    for thread in threads:
        thread.start()
    try:
        yield held
    except BaseException:
        with suppress(LeaseLost):  # what went wrong in the block matters more
            _end(adapter, held, threads)
        raise
    _end(adapter, held, threads)


def _end(adapter: TTLClaimAdapter, held: HeldLock, threads: list[threading.Thread]) -> None:
    held.close()
    try:
        with suppress(Unavailable):  # the lease then ends by itself
            adapter.release(held.lease)
    finally:
        for thread in threads:  # or one would use a database that the owner closes next
            if thread is not threading.current_thread():
                thread.join(adapter.ttl)


def _acquire(adapter: TTLClaimAdapter, key: str, wait: int) -> tuple[Lease, int]:
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(6)}"
    give_up_ns = _elapsed_ns() + wait * _SECOND_NS
    while True:
        asked_ns = _elapsed_ns()
        lease = adapter.acquire(key, owner)
        if lease is not None:
            return lease, asked_ns + adapter.ttl * _SECOND_NS
        rest_ms = (give_up_ns - _elapsed_ns()) // 1_000_000
        if rest_ms <= 0:
            raise LockUnavailable(name=key)
        pause_ms = random.randint(_POLL_MS // 2, _POLL_MS)  # noqa: S311  # spreads rivals
        time.sleep(min(pause_ms, rest_ms) / 1000)


def _keep_renewing(adapter: TTLClaimAdapter, held: HeldLock) -> None:
    """Renew at ttl/3; after a failure to reach the keeper, again soon, while there is time."""
    every_ms = adapter.ttl * 1000 // 3
    pause_ms = every_ms
    while not held.over(pause_ms):
        asked_ns = _elapsed_ns()
        try:
            lease = adapter.renew(held.lease)
        except LeaseLost:
            held.lose()
            return
        except Unavailable:
            pause_ms = max(every_ms // 8, 10)
        else:
            held.renewed(lease, asked_ns + adapter.ttl * _SECOND_NS)
            pause_ms = every_ms
