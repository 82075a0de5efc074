"""What a kind of job is: its handler, its limits, and how often it runs by itself.

For: `wiring`, which lists the kinds of this release in `_job_kinds`. That list is the one place
where a new kind is added; the runner and the scheduler below are made of it.
Guarantees: a kind is named once, so two parts cannot handle the same jobs in two ways; what is
queued under another name is left to processes that know it.
Does not: hold effects and rails' messages; their jobs are worked off in batches by runners of
their own (`effects.py`, `inbox.py`).

Spec §9.1. Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from settlement.service.job_runner import Handler, JobRunner
from settlement.service.jobs import EFFECT, WEBHOOK_INBOUND, JobQueue, Kind
from settlement.service.schedule import Every

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Database

_WORKED_ELSEWHERE = frozenset({EFFECT, WEBHOOK_INBOUND})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """One kind of job.

    handler: does one job; may run again, also beside an attempt that was given up. What must happen
    once is written together with `Run.progress_in`, or guarded by the rows it changes.
    every_seconds: it also runs by itself, once per period across all processes.
    """

    job_type: str
    handler: Handler
    limits: Kind = field(default_factory=Kind)
    every_seconds: int | None = None


def runner_of(
    db: Database, kinds: Sequence[JobKind], *, lease_seconds: int, owner: str
) -> JobRunner:
    """The runner of these kinds; raises ValueError for a name that is taken."""
    names = [kind.job_type for kind in kinds]
    taken = sorted(
        name for name in set(names) if names.count(name) > 1 or name in _WORKED_ELSEWHERE
    )
    if taken:
        raise ValueError(f"more than one handler for jobs of type {', '.join(taken)}")
    limits = {kind.job_type: kind.limits for kind in kinds}
    queue = JobQueue(db, lease_seconds=lease_seconds, kinds=limits)
    return JobRunner(queue, {kind.job_type: kind.handler for kind in kinds}, owner=owner)


def periodic(kinds: Sequence[JobKind]) -> list[Every]:
    """Those that run by themselves, for the scheduler."""
    return [
        Every(job_type=kind.job_type, period_seconds=kind.every_seconds)
        for kind in kinds
        if kind.every_seconds is not None
    ]
