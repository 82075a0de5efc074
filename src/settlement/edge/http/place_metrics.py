"""Gauges of what lies around the process: disk, the newest backup, the last audit's verdict.

Guarantees: an age of `+Inf` means never, so an alert on the age needs no second rule; nothing here
opens the database.
Does not: judge.

Contract §3.8. Change colour: green.
"""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Final

from prometheus_client import Gauge

from settlement.core.archive import name_time_us
from settlement.core.clock import parse_time
from settlement.service.archive import archives_in
from settlement.service.verdict import find_verdict

if TYPE_CHECKING:
    from pathlib import Path

    from settlement.config import Settings

_US: Final = 1_000_000
DISK_FREE: Final = Gauge("settlement_disk_free_bytes", "Free where this is kept", ("place",))
DISK_SIZE: Final = Gauge("settlement_disk_size_bytes", "Size of that disk", ("place",))
BACKUP_AGE: Final = Gauge("settlement_backup_age_seconds", "Since the newest backup; +Inf: never")
AUDIT_OK: Final = Gauge("settlement_audit_clean", "Whether the last audit found nothing")
AUDIT_AGE: Final = Gauge("settlement_audit_age_seconds", "Since the last audit; +Inf: never")


def nearest(path: Path) -> Path:
    """The directory itself, or the one in which it would be made."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def places(settings: Settings) -> dict[str, Path]:
    """What must be written to serve, by a name that is the same on every machine."""
    found = {"checkpoint": settings.checkpoint_file.parent}
    if settings.sqlite_path is not None:
        found["database"] = settings.sqlite_path.parent
    return {name: nearest(path) for name, path in found.items()}


def backup_age_seconds(directory: Path, now_us: int) -> float:
    """Since the newest archive was begun; infinite without one."""
    newest = next(reversed(archives_in(directory)), None)
    return math.inf if newest is None else (now_us - name_time_us(newest.name)) / _US


def look(settings: Settings, now_us: int) -> None:
    """Look at disks and files, and set the gauges."""
    for name, place in {**places(settings), "backups": nearest(settings.backup_dir)}.items():
        usage = shutil.disk_usage(place)
        DISK_FREE.labels(name).set(usage.free)
        DISK_SIZE.labels(name).set(usage.total)
    BACKUP_AGE.set(backup_age_seconds(settings.backup_dir, now_us))
    verdict = find_verdict(settings.audit_file)
    AUDIT_OK.set(1 if verdict is None or verdict.ok else 0)
    AUDIT_AGE.set(math.inf if verdict is None else (now_us - parse_time(verdict.audited_at)) / _US)
