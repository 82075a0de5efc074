"""A worker whose clock is wrong, as a process of its own, that does what it is told line by line.

As a program: takes a database URL and how far its clock is off, in microseconds. Each line it reads
is a command: `claim N`, `renew`, `finish`, `lease NAME SECONDS`, `keep SECONDS` (renew that lease),
`due N` (queue N jobs). It answers each with one number: rows that it touched, or jobs that it got.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from settlement.core.errors import LeaseLost
from settlement.service.jobs import JobQueue
from settlement.service.leases import Lease, LeaseTable
from settlement.store.database import SystemClock
from tests.support.notes import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.core.rows import Job
    from settlement.store.database import Database

ROOT = Path(__file__).parents[2]
JOB_TYPE = "verify"


class MovedClock:
    """The machine's clock, moved."""

    def __init__(self, by_us: int) -> None:
        self._by_us = by_us

    def now_us(self) -> int:
        """The time there."""
        return SystemClock().now_us() + self._by_us


@dataclass(slots=True)
class Remote:
    """The started process."""

    process: subprocess.Popen[str]

    def do(self, command: str) -> int:
        """Have it do something; its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def worker_with_clock(url: str, by_us: int) -> Iterator[Remote]:
    """Start one, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.clock_process", url, str(by_us)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )
    try:
        yield Remote(process)
    finally:
        process.kill()
        process.communicate()


@dataclass(slots=True)
class _Worker:
    db: Database
    name: str
    jobs: list[Job] = field(default_factory=list)
    lease: Lease | None = None

    def do(self, command: str, *args: str) -> int:
        queue = JobQueue(self.db)
        match command:
            case "claim":
                got = queue.claim([JOB_TYPE], int(args[0]), self.name)
                self.jobs += got
                return len(got)
            case "renew":
                return queue.renew(self.jobs)
            case "finish":
                return self.db.transaction(lambda tx: queue.finish_many_in(tx, self.jobs))
            case "lease":
                taken = LeaseTable(self.db).acquire(args[0], self.name, int(args[1]))
                self.lease = taken or self.lease
                return int(taken is not None)
            case "keep":
                return self._keep(int(args[0]))
            case "due":
                return self._queue(int(args[0]))
        raise ValueError(command)

    def _keep(self, seconds: int) -> int:
        assert self.lease is not None
        try:
            self.lease = LeaseTable(self.db).renew(self.lease, seconds)
        except LeaseLost:
            return 0
        return 1

    def _queue(self, count: int) -> int:
        queue = JobQueue(self.db)
        self.db.transaction(
            lambda tx: [queue.enqueue(tx, JOB_TYPE, f"deal_{self.name}_{n}") for n in range(count)]
        )
        return count


def _main(url: str, by_us: str) -> None:
    with opened(url, MovedClock(int(by_us))) as db:
        worker = _Worker(db, f"off by {by_us}")
        for line in sys.stdin:
            sys.stdout.write(f"{worker.do(*line.split())}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
