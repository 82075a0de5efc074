"""Runs commands as a user does: a process, its output, its exit code.

Guarantees: the caller's own settings never leak in; a process gets a bounded time.
Does not: keep anything running.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = (sys.executable, "-m", "settlement")
SECONDS_MAX = 120


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output; anything beside it fails."""
        document = json.loads(self.out)
        assert isinstance(document, dict), self.out
        return document


def environment(directory: Path, **settings: str) -> dict[str, str]:
    """The environment of a command whose files all lie in one directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SETTLEMENT_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200", **settings}


def run(directory: Path, *arguments: str, stdin: str | None = None, **settings: str) -> Ran:
    """Run a command in a directory to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=directory,
        env=environment(directory, **settings),
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
