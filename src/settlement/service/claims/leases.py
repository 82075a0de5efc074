"""One shape of lease over both places that keep them: the `lease` table and a directory.

For: code that runs with either, and `locks.py`.
Guarantees: `acquire` gives a lease to one owner at a time, with a fence larger than all before;
renew and release act only for the key, owner and fence of the current holder.
Does not: make the holder's own writes safe. Those name the fence themselves (`guard`, or
`FileLockBackend.guarded`), because a holder may be stopped at any point and go on later.

Spec §7. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from settlement.core.clock import SECOND_US, parse_time, time_text
from settlement.core.errors import LeaseLost
from settlement.service import leases
from settlement.service.claims.file_backend import FileLockBackend

if TYPE_CHECKING:
    from settlement.store.database import Tx

Backend: TypeAlias = "FileLockBackend | leases.LeaseTable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Held until `expires_at` by the keeper's clock; `fence` proves it in guarded writes."""

    key: str
    owner: str
    fence: int
    expires_at: str


class TTLClaimAdapter:
    """Leases of `ttl` seconds, kept by a backend or by the database."""

    def __init__(self, backend: Backend, ttl: int) -> None:
        self._backend = backend
        self.ttl = ttl

    def acquire(self, key: str, owner: str) -> Lease | None:
        """Take a free or expired name; None while somebody holds it, be it the same owner."""
        if isinstance(self._backend, FileLockBackend):
            taken = self._backend.hold(key, owner, self.ttl)
            if taken is None:
                return None
            fence, expires_us = taken
            return Lease(key=key, owner=owner, fence=fence, expires_at=time_text(expires_us))
        row = self._backend.acquire(key, owner, self.ttl)
        return _lease(row) if row is not None else None

    def renew(self, lease: Lease) -> Lease:
        """Hold it for another ttl from now; raises LeaseLost."""
        if isinstance(self._backend, FileLockBackend):
            expires_us = self._backend.extend(lease.key, lease.owner, lease.fence, self.ttl)
            return replace(lease, expires_at=time_text(expires_us))
        return _lease(self._backend.renew(_row(lease), self.ttl))

    def release(self, lease: Lease) -> None:
        """Give it back, so that another may take it at once; raises LeaseLost."""
        if isinstance(self._backend, FileLockBackend):
            self._backend.free(lease.key, lease.owner, lease.fence)
        else:
            self._backend.release(_row(lease))

    def guard(self, tx: Tx, lease: Lease) -> None:
        """Extend the lease in the caller's own transaction; raises LeaseLost, nothing is written.

        What else the transaction writes stands or falls with it, and nobody takes the lease over
        before it commits. For a lease kept by that database only:

            def close_the_day(tx: Tx) -> None:
                leases.guard(tx, lease)
                tx.run("day_close", ...)
        """
        kept = tx.run(
            "lease_renew",
            name=lease.key,
            owner=lease.owner,
            fence=lease.fence,
            expires_us=tx.lease_us + self.ttl * SECOND_US,
            now_us=tx.lease_us,
        )
        if not kept:
            raise LeaseLost(name=lease.key)


def _lease(row: leases.Lease) -> Lease:
    expires_at = time_text(row.expires_us)
    return Lease(key=row.name, owner=row.owner, fence=row.fence, expires_at=expires_at)


def _row(lease: Lease) -> leases.Lease:
    expires_us = parse_time(lease.expires_at)
    return leases.Lease(name=lease.key, owner=lease.owner, fence=lease.fence, expires_us=expires_us)
