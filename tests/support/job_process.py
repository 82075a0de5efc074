"""A process that holds a job and then, told to, tries everything a holder may do.

As a program: takes a database URL, claims one `verify` job, prints its id, waits for a line, and
prints how many rows each of its actions touched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from settlement.core.errors import LeaseLost
from settlement.service.jobs import JobQueue, Kind
from tests.support.notes import opened

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Holder:
    """The started process."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def act(self) -> dict[str, int]:
        """Let it try; the rows it touched."""
        out, _ = self.process.communicate("go\n", timeout=60)
        return cast("dict[str, int]", json.loads(out))

    def kill(self) -> None:
        """End it, however it is."""
        self.process.kill()
        self.process.communicate()


def start_holder(url: str) -> Holder:
    """Start a process and wait until it holds a job."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.job_process", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("job_")
    return Holder(process)


def _rows(change: Callable[[], int | None]) -> int:
    try:
        rows = change()
    except LeaseLost:
        return 0
    return 1 if rows is None else rows


def _main(url: str) -> None:
    with opened(url) as db:
        queue = JobQueue(db, kinds={"verify": Kind(slots=1)})
        (job,) = queue.claim(["verify"], 1, "stopped")
        sys.stdout.write(job.job_id + "\n")
        sys.stdout.flush()
        sys.stdin.readline()
        touched = {
            "progress": _rows(lambda: queue.progress(job, {"by": "late"})),
            "finish": _rows(lambda: queue.finish(job, {"by": "late"})),
            "fail": _rows(lambda: queue.fail(job, "late")),
            "release": queue.hand_back("stopped"),
            "renew": queue.renew([job]),
        }
        sys.stdout.write(json.dumps(touched))


if __name__ == "__main__":
    _main(sys.argv[1])
