"""Leases by name with fencing tokens, in the database.

For: work that one process at a time may do, such as the sequencer.
Guarantees: at most one holder by lease time; the fence grows with every holder, across
restarts and restores, so a guarded write that names it refuses a holder that overslept.
Does not: stop a holder whose time is up; only the fence in its writes does that.

Spec §7. Change colour: red.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from settlement.core.clock import SECOND_US
from settlement.core.errors import LeaseLost

if TYPE_CHECKING:
    from settlement.store.database import Database, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Held until `expires_us` by lease time; `fence` proves it in guarded writes."""

    name: str
    owner: str
    fence: int
    expires_us: int


class LeaseTable:
    """The lease table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def acquire(self, name: str, owner: str, ttl_seconds: int) -> Lease | None:
        """Take a free or expired lease; None while somebody holds it, be it the same owner."""

        def take(tx: Tx) -> Lease | None:
            until = tx.lease_us + ttl_seconds * SECOND_US
            taken = tx.run("lease_insert", name=name, owner=owner, expires_us=until) or tx.run(
                "lease_take_over", name=name, owner=owner, expires_us=until, now_us=tx.lease_us
            )
            return Lease(**tx.one("lease_find", name=name)) if taken else None

        return self._db.transaction(take)

    def renew(self, lease: Lease, ttl_seconds: int) -> Lease:
        """Extend a lease that still holds; raises LeaseLost."""

        def extend(tx: Tx) -> Lease:
            until = tx.lease_us + ttl_seconds * SECOND_US
            kept = tx.run(
                "lease_renew",
                name=lease.name,
                owner=lease.owner,
                fence=lease.fence,
                expires_us=until,
                now_us=tx.lease_us,
            )
            if not kept:
                raise LeaseLost(name=lease.name)
            return Lease(name=lease.name, owner=lease.owner, fence=lease.fence, expires_us=until)

        return self._db.transaction(extend)

    def release(self, lease: Lease) -> None:
        """Give a lease back; raises LeaseLost if it is another's by now."""
        given = self._db.transaction(
            lambda tx: tx.run(
                "lease_release", name=lease.name, owner=lease.owner, fence=lease.fence
            )
        )
        if not given:
            raise LeaseLost(name=lease.name)
