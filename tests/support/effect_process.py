"""A process of its own that runs one step of effects, to be killed inside it.

As a program: takes a directory, a database URL and more settings as JSON, builds the house there
and runs the step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.house import house

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]


def run_step(
    directory: Path, url: str, faults: str, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one step in another process, armed with faults."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.support.effect_process",
            str(directory),
            url,
            json.dumps(dict(settings or {})),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "SETTLEMENT_FAULTS": faults},
    )


if __name__ == "__main__":
    with house(Path(sys.argv[1]), sys.argv[2], None, **json.loads(sys.argv[3])) as services:
        services.effects.step()
