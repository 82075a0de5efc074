"""The readiness report of this project: its rows, and the commands that show them.

For: `test_readiness.py`. Read from docs/hardening_report.md, where people read them.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "hardening_report.md"
_ROW = re.compile(r"^\| (\d+) \| \[(.+?)\]\(#(.+?)\) \| (.+?) \| `(.+?)` \|$", re.MULTILINE)
_NODE = re.compile(r"tests/[\w/]+(?:\.py)?(?:::\w+)?")


@dataclass(frozen=True, slots=True)
class Row:
    """A check of the report."""

    number: int
    title: str
    anchor: str
    state: str
    command: str

    @property
    def nodes(self) -> list[str]:
        """The tests that its command names."""
        return _NODE.findall(self.command) if "pytest" in self.command else []


def rows() -> list[Row]:
    """The table, in its order."""
    return [
        Row(int(number), title, anchor, state, command)
        for number, title, anchor, state, command in _ROW.findall(PAGE.read_text("utf-8"))
    ]


def environment(directory: Path, **settings: str) -> dict[str, str]:
    """What a reader's shell has: `python` and `settlement` of this tree, nothing of ours."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    for name, module in (("python", ""), ("settlement", "-m settlement")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        program.chmod(0o755)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SETTLEMENT_", "AME_", "PYTEST_"))
    }
    path = os.pathsep.join([str(programs), "/usr/local/bin", "/usr/bin", "/bin"])
    source = str(ROOT / "src")
    return {**kept, "PATH": path, "PYTHONPATH": source, "TMPDIR": str(directory), **settings}
