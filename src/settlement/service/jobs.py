"""Durable jobs: queued with the money that needs them, leased to one worker at a time.

For: operations and use cases, which enqueue inside their transaction, and workers, which claim.
Guarantees: one job per (type, dedup key), ever; finish, fail, defer and renew take effect only
while the caller's lease holds, which the row's fence proves: a worker that overslept changes
nothing. Time is lease time, which no setting of a clock moves. A job dies after its attempts or
three lost leases, an effect job never: what a rail was asked must be found out. A kind may have a
time limit per attempt and a number of slots; a slot is a leased row, so it comes back with the
lease of a dead holder.
Does not: run anything; `edge/worker.py` does.

Spec §9.1. Change colour: amber.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from settlement.core.clock import SECOND_US
from settlement.core.errors import LeaseLost
from settlement.core.ids import JobId, uuid7_hex
from settlement.core.rows import Job
from settlement.core.writeset import WriteSet
from settlement.tracing import TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from settlement.store.database import Database, Tx

EFFECT: Final = "effect"
WEBHOOK_INBOUND: Final = "webhook_inbound"
MAX_ATTEMPTS: Final = 8
LOST_LEASES_MAX: Final = 3
BACKOFF_MAX_SECONDS: Final = 300
LEASE_SECONDS: Final = 60
_ERROR_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What one type of job may take: time per attempt, and how many at once, everywhere."""

    timeout_seconds: int | None = None
    slots: int | None = None


class JobQueue:
    """The job table. `randbelow` spreads retries; tests hand in their own."""

    def __init__(
        self,
        db: Database,
        *,
        lease_seconds: int = LEASE_SECONDS,
        kinds: Mapping[str, Kind] | None = None,
        randbelow: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._db = db
        self._lease_us = lease_seconds * SECOND_US
        self._kinds = dict(kinds or {})
        self._randbelow = randbelow

    @property
    def lease_seconds(self) -> int:
        """How long a claim or a renewal lasts."""
        return self._lease_us // SECOND_US

    # --- queueing --------------------------------------------------------------------------------

    def enqueue(
        self,
        tx: Tx,
        job_type: str,
        deal_id: str,
        payload: Mapping[str, Any] | None = None,
        dedup_key: str | None = None,
    ) -> Job:
        """Queue a job in the caller's transaction; the job there was, whatever became of it.

        A dead job is not revived: only `requeue` does that.
        """
        key = dedup_key or deal_id
        job = Job(
            job_id=JobId.prefix + uuid7_hex(tx.now_us // 1000, secrets.token_bytes(10)),
            job_type=job_type,
            deal_id=deal_id,
            payload=json.dumps(payload or {}, sort_keys=True),
            dedup_key=key,
            status="queued",
            attempts=0,
            max_attempts=MAX_ATTEMPTS,
            lost_leases=0,
            run_at_us=tx.now_us,
            lease_owner=None,
            lease_fence=0,
            lease_expires_us=None,
            last_error=None,
            result=None,
            created_at=tx.now,
            updated_at=tx.now,
        )
        tx.write(WriteSet(jobs=[job]))
        return Job(**tx.one("job_find_by_dedup", job_type=job_type, dedup_key=key))

    def requeue(self, job_id: str, reason: str, operator: str) -> Job | None:
        """Give a dead or cancelled job a new life; None if there is no such job."""

        def change(tx: Tx) -> Job | None:
            note = f"requeued by {operator}: {reason}"[:_ERROR_CHARACTERS]
            tx.run("job_requeue", job_id=job_id, reason=note, now=tx.now, now_us=tx.lease_us)
            return find_job(tx, job_id)

        return self._db.transaction(change)

    # --- working ---------------------------------------------------------------------------------

    def claim(self, types: Sequence[str], limit: int, owner: str) -> list[Job]:
        """Lease up to `limit` ready jobs of these types, oldest first."""
        return self._db.transaction(lambda tx: self.claim_in(tx, types, limit, owner))

    def claim_in(self, tx: Tx, types: Sequence[str], limit: int, owner: str) -> list[Job]:
        """As `claim`, in the caller's transaction. First frees what dead owners held."""
        limited = sorted(t for t in types if self._kind(t).slots is not None)
        for job_type in limited:
            tx.one("job_await_turn", job_type=job_type)
        self.time_out_in(tx, types)
        tx.run("job_reclaim_expired", lost_max=LOST_LEASES_MAX, now=tx.now, now_us=tx.lease_us)
        taken: list[Job] = []
        for job_type in limited:
            slots = self._kind(job_type).slots or 0
            used = tx.one("job_count_leased", job_type=job_type, slots=slots)["found"]
            taken += self._take(tx, [job_type], min(limit - len(taken), slots - used), owner)
        free = [job_type for job_type in types if job_type not in limited]
        taken += self._take(tx, free, limit - len(taken), owner)
        return sorted(taken, key=lambda job: job.job_id)

    def _take(self, tx: Tx, types: Sequence[str], limit: int, owner: str) -> list[Job]:
        if limit <= 0 or not types:
            return []
        rows = tx.all(
            "job_claim_ready",
            types=list(types),
            claim_limit=limit,
            owner=owner,
            expires_us=tx.lease_us + self._lease_us,
            now=tx.now,
            now_us=tx.lease_us,
        )
        return [Job(**row) for row in rows]

    def _kind(self, job_type: str) -> Kind:
        return self._kinds.get(job_type, _NO_LIMITS)

    def time_out(self, types: Sequence[str]) -> int:
        """Fail, as a timeout, what has been leased for longer than its kind may take; how many."""
        return self._db.transaction(lambda tx: self.time_out_in(tx, types))

    def time_out_in(self, tx: Tx, types: Sequence[str]) -> int:
        """As `time_out`, in the caller's transaction."""
        late = 0
        for job_type in types:
            seconds = self._kind(job_type).timeout_seconds
            if seconds is not None:
                late += tx.run(
                    "job_time_out",
                    job_type=job_type,
                    started_us=tx.lease_us - seconds * SECOND_US,
                    run_at_us=tx.lease_us + self.backoff_us(1),
                    now=tx.now,
                )
        return late

    def progress_in(self, tx: Tx, job: Job, reached: Mapping[str, Any]) -> None:
        """Note how far a job has come, and renew its lease; raises LeaseLost.

        What the caller writes in this transaction happens only while the lease holds.
        """
        _change(
            tx,
            job,
            "job_progress",
            progress=json.dumps(reached, sort_keys=True),
            expires_us=tx.lease_us + self._lease_us,
            now_us=tx.lease_us,
        )

    def finish(self, job: Job, result: Mapping[str, Any] | None = None) -> None:
        """Done; raises LeaseLost when another holds it by now."""
        self._db.transaction(lambda tx: self.finish_in(tx, job, result))

    def progress(self, job: Job, reached: Mapping[str, Any]) -> None:
        """As `progress_in`, in a transaction of its own."""
        self._db.transaction(lambda tx: self.progress_in(tx, job, reached))

    def finish_in(self, tx: Tx, job: Job, result: Mapping[str, Any] | None = None) -> None:
        """As `finish`, in the transaction of what the job did. Raises LeaseLost."""
        text = None if result is None else json.dumps(result, sort_keys=True)
        _change(tx, job, "job_finish", result=text)

    def finish_many_in(self, tx: Tx, jobs: Sequence[Job]) -> int:
        """Finish those still leased to the caller; how many that were."""
        ids, fences = _leases(jobs)
        return tx.run("job_finish_many", ids=ids, fences=fences, now=tx.now) if ids else 0

    def fail(self, job: Job, error: str) -> None:
        """An attempt failed: try again later, or never. Raises LeaseLost."""

        def change(tx: Tx) -> None:
            self.fail_in(tx, job, error)

        self._db.transaction(change)

    def fail_in(self, tx: Tx, job: Job, error: str) -> None:
        """As `fail`, in the caller's transaction."""
        run_at = tx.lease_us + self.backoff_us(job.attempts)
        _change(tx, job, "job_fail", last_error=error[:_ERROR_CHARACTERS], run_at_us=run_at)

    def defer_in(self, tx: Tx, job: Job, delay_us: int, why: str) -> None:
        """Not a failure: run again later, without using an attempt. Raises LeaseLost."""
        run_at = tx.lease_us + delay_us
        _change(tx, job, "job_defer", last_error=why[:_ERROR_CHARACTERS], run_at_us=run_at)

    def renew(self, jobs: Sequence[Job]) -> int:
        """Extend the leases that still hold; how many that were."""
        ids, fences = _leases(jobs)

        def change(tx: Tx) -> int:
            until = tx.lease_us + self._lease_us
            return tx.run(
                "job_renew_many",
                ids=ids,
                fences=fences,
                expires_us=until,
                now=tx.now,
                now_us=tx.lease_us,
            )

        return self._db.transaction(change) if ids else 0

    def hand_back(self, owner: str) -> int:
        """Give back whatever this owner still leases, without using an attempt."""
        return self._db.transaction(
            lambda tx: tx.run("job_hand_back", owner=owner, now=tx.now, now_us=tx.lease_us)
        )

    def backoff_us(self, attempts: int) -> int:
        """Delay after attempt n: uniform in (0, min(300, 2 * 2^(n-1))] seconds."""
        seconds = min(BACKOFF_MAX_SECONDS, 1 << min(max(attempts, 1), 16))
        return 1 + self._randbelow(seconds * SECOND_US)

    # --- looking ---------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job | None:
        """One job, if there is one."""
        return self._db.read(lambda tx: find_job(tx, job_id))


_NO_LIMITS: Final = Kind()


def carrying(job: Job, trace: str) -> Job:
    """The job with the trace of whoever queues it."""
    payload = {**json.loads(job.payload), TRACEPARENT: trace}
    return replace(job, payload=json.dumps(payload, sort_keys=True))


def trace_of(job: Job) -> str:
    """The trace a job was queued in; "" for none."""
    return str(json.loads(job.payload).get(TRACEPARENT, ""))


def find_job(tx: Tx, job_id: str) -> Job | None:
    """One job, in the caller's transaction."""
    row = tx.maybe("job_find", job_id=job_id)
    return Job(**row) if row is not None else None


def _leases(jobs: Sequence[Job]) -> tuple[list[str], list[int]]:
    return [job.job_id for job in jobs], [job.lease_fence for job in jobs]


def _change(tx: Tx, job: Job, query: str, **values: Any) -> None:
    """Change a leased job; zero rows: the lease is another's, so nothing may be recorded."""
    if not tx.run(query, job_id=job.job_id, fence=job.lease_fence, now=tx.now, **values):
        raise LeaseLost(name=job.job_id)
