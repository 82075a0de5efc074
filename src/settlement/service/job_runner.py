"""Runs jobs of known types, one at a time: renews, notes progress, fails what is over its time.

For: the worker's loop. Effect jobs have a runner of their own (`effects.py`).
Guarantees: a type nobody here handles is never claimed; a lease is renewed while its handler works,
and no longer than its kind may take; when the lease is gone the handler's result is dropped. What
a handler writes together with `Run.progress_in` happens under the lease or not at all.
Does not: stop a handler that hangs. Its thread is left behind, and its fence keeps it out.

Spec §9. Change colour: amber.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from settlement import tracing
from settlement.core.errors import LeaseLost
from settlement.service.jobs import trace_of
from settlement.tracing import SpanKind

if TYPE_CHECKING:
    from settlement.core.rows import Job
    from settlement.service.jobs import JobQueue
    from settlement.store.database import Tx

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt, as its handler sees it."""

    job: Job
    queue: JobQueue

    @property
    def payload(self) -> dict[str, Any]:
        """What was queued."""
        return dict(json.loads(self.job.payload))

    @property
    def reached(self) -> dict[str, Any]:
        """How far an earlier attempt has come."""
        return dict(json.loads(self.job.result)) if self.job.result else {}

    def progress_in(self, tx: Tx, reached: Mapping[str, Any]) -> None:
        """Note how far the job has come, with what else the transaction writes."""
        self.queue.progress_in(tx, self.job, reached)


Handler: TypeAlias = Callable[[Run], Mapping[str, Any] | None]


@dataclass(slots=True)
class _Outcome:
    result: Mapping[str, Any] | None = None
    error: str | None = None


class JobRunner:
    """Runs the jobs of one process. Any number of processes may run one each."""

    def __init__(self, jobs: JobQueue, handlers: Mapping[str, Handler], *, owner: str) -> None:
        self._jobs = jobs
        self._handlers = dict(handlers)
        self._owner = owner

    def step(self) -> int:
        """Take one ready job to its end; how many there were."""
        types = sorted(self._handlers)
        taken = self._jobs.claim(types, 1, self._owner) if types else []
        for job in taken:
            self._run(job)
        return len(taken)

    def _run(self, job: Job) -> None:
        outcome = _Outcome()
        thread = threading.Thread(
            target=self._handle, args=(job, outcome), name=f"settlement-{job.job_type}", daemon=True
        )
        thread.start()
        while True:
            thread.join(self._jobs.lease_seconds / 3)
            if not thread.is_alive():
                break
            self._jobs.time_out([job.job_type])
            if not self._jobs.renew([job]):
                logger.warning("job %s is over its time or another's; left behind", job.job_id)
                return
        try:
            if outcome.error is None:
                self._jobs.finish(job, outcome.result)
            else:
                self._jobs.fail(job, outcome.error)
        except LeaseLost:
            logger.info("job %s was taken over; its result is dropped", job.job_id)

    def _handle(self, job: Job, outcome: _Outcome) -> None:
        span = tracing.child(f"job {job.job_type}", trace_of(job), SpanKind.CONSUMER)
        try:
            with tracing.within(span):
                outcome.result = self._handlers[job.job_type](Run(job, self._jobs))
        except Exception as error:
            logger.exception("job %s failed", job.job_id)
            outcome.error = f"{type(error).__name__}: {error}"
