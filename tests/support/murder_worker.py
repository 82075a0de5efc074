"""A worker process to be killed: runs `make` jobs, each of which adds one line to a table.

As a program: takes a database URL, works until it is killed. The line and the job's progress commit
together, under the lease's fence; after that the handler dawdles, so that a kill often falls
between the effect and the end of the job.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from settlement.service.job_runner import JobRunner, Run
from settlement.service.jobs import JobQueue
from settlement.store.database import open_database

if TYPE_CHECKING:
    from settlement.store.database import Tx
    from settlement.store.migrate import SchemaTx

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 3
JOB_TYPE = "make"
DAWDLE_SECONDS = 0.03


def start_worker(url: str) -> subprocess.Popen[bytes]:
    """Start a worker; it prints a line when it has done its first job, or found none."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.murder_worker", url],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )


def _main(url: str) -> None:
    db = open_database(url)
    rest = threading.Event()

    def make(run: Run) -> dict[str, Any]:
        if not run.reached:

            def change(tx: Tx) -> None:
                run.progress_in(tx, {"made": 1})
                cast("SchemaTx", tx).script(f"INSERT INTO made VALUES ('{run.job.job_id}')")

            db.transaction(change)
        rest.wait(DAWDLE_SECONDS)
        return {"made": 1}

    queue = JobQueue(db, lease_seconds=LEASE_SECONDS)
    runner = JobRunner(queue, {JOB_TYPE: make}, owner=f"murdered-{os.getpid()}")
    runner.step()
    sys.stdout.write("at work\n")
    sys.stdout.flush()
    while True:
        if not runner.step():
            rest.wait(0.05)


if __name__ == "__main__":
    _main(sys.argv[1])
