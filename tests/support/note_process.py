"""A process of its own that runs notes, for races and kills: started, told to go, listened to.

As a program: takes a database URL and JSON lines, each the members of a `Note`; prints "ready",
waits for a line, runs the notes together and prints one JSON line per answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.notes import Note, agent, opened, running

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class NoteProcess:
    """A started process that waits to be told to go."""

    process: subprocess.Popen[str]

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def finish(self, seconds: int = 60) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, answers, and what it said on standard error."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err


def start_notes(url: str, notes: Sequence[dict[str, Any]], faults: str = "") -> NoteProcess:
    """Start a process and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.note_process", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "SETTLEMENT_FAULTS": faults},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(list(notes)) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    return NoteProcess(process)


def _main(url: str) -> None:
    notes = json.loads(sys.stdin.readline())
    ops = [Note(**{**note, "principal": agent("agent_alice")}) for note in notes]
    with opened(url) as db, running(db) as engine:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        futures = [engine.submit(op) for op in ops]
        for future in futures:
            answer = future.result(60)
            code = answer.error.code if answer.error is not None else None
            line = {"replayed": answer.replayed, "code": code, "result": answer.result}
            sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1])
