"""The verdict of the last audit, left in a file for whoever watches the service.

For: `settlement audit`, which leaves it, and `/metrics` and `settlement doctor`, which read it.
Guarantees: the file is a whole verdict at any moment; one that cannot be read is no verdict, which
a watcher must treat as an audit that was never made.
Does not: hold rows or amounts; the report of the command does.

Spec §16.3. Change colour: green.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from settlement.service.audit import AuditReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the audit found nothing, when, and the numbers of the checks that failed."""

    ok: bool
    audited_at: str
    failed: tuple[int, ...]


def leave(path: Path, report: AuditReport) -> None:
    """Replace the file; raises OSError."""
    members = {
        "ok": report.clean,
        "audited_at": report.audited_at,
        "failed": [finding.number for finding in report.failed()],
        "input_hash": report.input_hash,
    }
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(members) + "\n", "utf-8")
    beside.replace(path)


def find_verdict(path: Path) -> Verdict | None:
    """The last verdict; None when there is none, or nothing that can be read as one."""
    try:
        members = json.loads(path.read_text("utf-8"))
        return Verdict(
            ok=bool(members["ok"]),
            audited_at=str(members["audited_at"]),
            failed=tuple(int(number) for number in members["failed"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
