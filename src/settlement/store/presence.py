"""Who has a database open: everybody shares it, a recovery has it alone (spec §17.2).

For: both databases, which share when they open, and `replacing.py`, which must be alone.
Guarantees: while one process has a database open nobody replaces it, and while it is being replaced
nobody opens it. The lock is the kernel's (`flock` on `<file>.open`) or the server's (an advisory
lock of every pooled session), so whatever ends a process ends its share.
Does not: wait; whoever cannot have it is told so.

Change colour: red.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from settlement.core.errors import DatabaseUnavailable
from settlement.store.database import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

BEING_REPLACED = "a recovery has this database to itself"


class InUse(StoreError):
    """Some process has the database open: a server, a worker or a command."""

    def __init__(self) -> None:
        super().__init__("the database is in use")


def unfinished_mark(path: Path) -> Path:
    """The file that lies beside a database while its files are being changed for others."""
    return Path(f"{path}.recovering")


def share_file(path: Path) -> int:
    """Hold a share of an SQLite file until the returned descriptor is closed."""
    handle = os.open(f"{path}.open", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise DatabaseUnavailable(reason=BEING_REPLACED) from None
    if unfinished_mark(path).exists():
        os.close(handle)
        # Between two of its files an SQLite database is neither the old nor the new one.
        reason = f"a recovery of {path} was cut short; run `settlement recover` again"
        raise DatabaseUnavailable(reason=reason)
    return handle


@contextmanager
def alone_with_file(path: Path) -> Iterator[None]:
    """Have an SQLite file alone; raises InUse."""
    handle = os.open(f"{path}.open", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InUse from None
    try:
        yield
    finally:
        os.close(handle)
