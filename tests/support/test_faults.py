"""Fault points: silent unless armed at start, and then exactly where and when they were told to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from settlement.faults import fault

SOURCE = Path(__file__).parents[2] / "src"
PASSES = (
    "from settlement.faults import fault\nfor n in range(4): print(n, flush=True); fault('a.b')"
)


def passes(faults: str) -> subprocess.CompletedProcess[str]:
    """Pass one point four times in a process armed like this."""
    return subprocess.run(
        [sys.executable, "-c", PASSES],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "SETTLEMENT_FAULTS": faults},
    )


def test_an_unarmed_point_is_passed() -> None:
    fault("engine.before_commit")


@pytest.mark.parametrize(
    ("faults", "reached", "code"),
    [
        ("", 4, 0),
        ("a.c:kill", 4, 0),
        ("a.b:kill", 1, -9),
        ("a.c:raise,a.b:kill@3", 3, -9),
        ("a.b:raise@2", 2, 1),
        ("a.b:sleep=1@*", 4, 0),
    ],
)
def test_an_armed_point_acts_at_its_pass_and_says_so(faults: str, reached: int, code: int) -> None:
    done = passes(faults)
    assert len(done.stdout.splitlines()) == reached
    assert done.returncode == code
    said = done.stderr.count("fault a.b: ")
    assert said == (4 if faults.endswith("@*") else int(code != 0))
