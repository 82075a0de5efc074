"""A process of its own that applies what came in, to be killed inside it.

As a program: takes a directory and a database URL, builds the house there and runs the step.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.house import house

ROOT = Path(__file__).parents[2]


def run_inbox_step(directory: Path, url: str, faults: str) -> subprocess.CompletedProcess[str]:
    """Run one step in another process, armed with faults."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.inbox_process", str(directory), url],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "SETTLEMENT_FAULTS": faults},
    )


if __name__ == "__main__":
    with house(Path(sys.argv[1]), sys.argv[2]) as services:
        services.inbox.step()
