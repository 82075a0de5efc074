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
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from settlement.core.errors import DatabaseUnavailable
from settlement.store.database import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

BEING_REPLACED = "a recovery has this database to itself"


class InUse(StoreError):
    """Some process has the database open: a server, a worker or a command."""

    def __init__(self, holders: tuple[str, ...] = ()) -> None:
        super().__init__("the database is in use")
        #: Who has it, as far as the system tells.
        self.holders = holders


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
    if not path.exists():
        _make_private(path)
    return handle


def _make_private(path: Path) -> None:
    """Make a new file that only its owner may read; what SQLite lays beside it takes after it.

    Under a name of its own first: to open and close the file itself would, in a process that has
    it open already, drop the locks of SQLite.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    with suppress(FileExistsError):  # somebody was faster, by the same way
        os.link(name, path)
    os.unlink(name)


#: Linux's list of file locks; where there is none, nobody is named.
_LOCKS: Final = Path("/proc/locks")


def holders_of_file(path: Path) -> tuple[str, ...]:
    """The processes that have an SQLite file open, as far as the system tells.

    A process that forked after it had opened the file is named by the parent, which may be gone.
    """
    try:
        inode = str(Path(f"{path}.open").stat().st_ino)
        lines = _LOCKS.read_text("ascii").splitlines()
    except OSError:
        return ()
    locks = [line.split() for line in lines if " FLOCK " in line and "->" not in line]
    mine = str(os.getpid())
    pids = {lock[4] for lock in locks if lock[5].rpartition(":")[2] == inode}
    return tuple(f"process {pid}" for pid in sorted(pids - {mine}, key=int))


@contextmanager
def alone_with_file(path: Path) -> Iterator[None]:
    """Have an SQLite file alone; raises InUse."""
    handle = os.open(f"{path}.open", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InUse(holders_of_file(path)) from None
    try:
        yield
    finally:
        os.close(handle)
