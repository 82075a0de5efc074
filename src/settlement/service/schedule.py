"""Periodic jobs: each is queued once per period, whichever process looks first.

For: the worker's loop, in every process.
Guarantees: one firing per period across processes and restarts, because the period's number is
the job's dedup key; periods are counted in lease time. A lease keeps one process at it
and the others idle; the key, not the lease, is what a late holder cannot get past. Missed periods
are not made up for.
Does not: run the jobs.

Spec §9. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.clock import SECOND_US
from settlement.core.errors import LeaseLost
from settlement.service.leases import LeaseTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.service.jobs import JobQueue
    from settlement.service.leases import Lease
    from settlement.store.database import Database, Tx

LEASE_NAME: Final = "scheduler"
LEASE_SECONDS: Final = 30
#: Periodic jobs belong to no deal.
STREAM: Final = "sys_schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """A type of job and how often it runs."""

    job_type: str
    period_seconds: int


def period_key(entry: Every, number: int) -> str:
    """The dedup key of a period's job."""
    return f"{entry.period_seconds}:{number}"


class Scheduler:
    """Queues periodic jobs. Any number of processes may run one each."""

    def __init__(
        self, db: Database, jobs: JobQueue, entries: Sequence[Every], *, owner: str
    ) -> None:
        self._db = db
        self._jobs = jobs
        self._entries = list(entries)
        self._owner = owner
        self._leases = LeaseTable(db)
        self._lease: Lease | None = None

    def step(self) -> int:
        """Queue what is due, if this process is the scheduler; how many jobs."""
        if not self._hold():
            return 0
        return self._db.transaction(self.fire_in)

    def fire_in(self, tx: Tx) -> int:
        """Queue the jobs of the current periods that are not queued yet."""
        fired = 0
        for entry in self._entries:
            number = tx.lease_us // (entry.period_seconds * SECOND_US)
            key = period_key(entry, number)
            if tx.maybe("job_find_by_dedup", job_type=entry.job_type, dedup_key=key) is None:
                self._jobs.enqueue(tx, entry.job_type, STREAM, {"period": number}, key)
                fired += 1
        return fired

    def close(self) -> None:
        """Let another process be the scheduler at once."""
        if self._lease is not None:
            lease, self._lease = self._lease, None
            try:
                self._leases.release(lease)
            except LeaseLost:
                return

    def _hold(self) -> bool:
        if self._lease is not None:
            try:
                self._lease = self._leases.renew(self._lease, LEASE_SECONDS)
            except LeaseLost:
                self._lease = None
        if self._lease is None:
            self._lease = self._leases.acquire(LEASE_NAME, self._owner, LEASE_SECONDS)
        return self._lease is not None
