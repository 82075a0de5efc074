"""Puts a restored database where one is already, and moves the old one aside.

For: `service/restore.py`.
Guarantees: it has the database alone (`presence.py`), or raises `InUse`; at every moment, whatever
is killed, the place holds the old data or the new: on PostgreSQL one transaction does all of it;
on SQLite the new file takes the old one's name in one step. Nothing old is deleted.
Does not: check what it puts there; the caller has.

Spec §17.2, decision 0017. Change colour: red.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import apsw
import psycopg

from settlement.core.errors import DatabaseUnavailable
from settlement.faults import fault
from settlement.store.copying import Copier
from settlement.store.database import NotAllowed, StoreError
from settlement.store.migrate import apply_migrations
from settlement.store.postgres import PostgresTx, connect
from settlement.store.presence import InUse, alone_with_file, holders_of_file, unfinished_mark
from settlement.store.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from settlement.store.database import Database, Tx

_MAGIC: Final = b"SQLite format 3\x00"
_BESIDE: Final = ("-wal", "-shm")
_LOCK_FILES: Final = (".open", ".lock")
_PRIVATE: Final = 0o600


class Place(Protocol):
    """Where a restored database goes. A context manager: inside it the place is ours alone, unless
    it was only to be looked at.
    """

    kind: str

    def __enter__(self) -> Place:
        """Take it; raises InUse, and NotAllowed for a role that could not restore here."""
        ...

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        ...

    def old_epoch(self) -> int | None:
        """The recovery epoch of what is there; None when nothing is, or it cannot be read."""
        ...

    def is_empty(self) -> bool:
        """Nothing is there that would be moved aside."""
        ...

    def holders(self) -> tuple[str, ...]:
        """Who else has it open, as far as the system tells."""
        ...

    def install(self, restored: Restored, aside: str) -> str | None:
        """Put it there; where the old data lies now, None when there was none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A checked database in a scratch file: `finish` is to run on it where it will live."""

    path: Path
    open: Callable[[], Database]
    finish: Callable[[Tx], None]
    compare: Callable[[Tx, Tx, str], None]
    turned: Callable[[int], None] = lambda _rows: None


@dataclass(slots=True)
class SqlitePlace:
    """A file."""

    path: Path
    alone: bool = True
    kind: str = "sqlite"
    _held: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> SqlitePlace:
        """Take the file; raises InUse, and PermissionError for who could not give it back."""
        self._check_owner()
        if not self.alone:
            return self
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(alone_with_file(self.path))
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        self._held.close()

    def is_empty(self) -> bool:
        """No file has that name."""
        return not self.path.exists()

    def _check_owner(self) -> None:
        """What takes the old file's name has to belong to whom the old one belongs."""
        if self.is_empty() or os.geteuid() in (0, self.path.stat().st_uid):
            return
        owner = self.path.owner()
        advice = f"it belongs to {owner}; run this as {owner}, with `sudo -u {owner}`"
        raise PermissionError(errno.EPERM, advice, str(self.path))

    def holders(self) -> tuple[str, ...]:
        """From the system's list of locks."""
        return holders_of_file(self.path)

    def old_epoch(self) -> int | None:
        """From the file, if it is a database of ours."""
        if not self._is_readable():
            return None
        try:
            old = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                rows = list(old.execute(load_queries("sqlite")["recovery_find"]))
            finally:
                old.close()
        except apsw.Error:  # damaged: that is why it is replaced
            return None
        return int(dict(rows).get("recovery_epoch", "0"))

    def _is_readable(self) -> bool:
        """It begins as a database does. Anything else is not even opened: SQLite would throw the
        write-ahead log beside it away, and that is old data."""
        if self.is_empty():
            return False
        with self.path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC

    def install(self, restored: Restored, aside: str) -> str | None:
        """Give the restored file the name of the old one."""
        db = restored.open()
        try:
            db.transaction(restored.finish)
        finally:
            db.close()
        # Opened and closed alone, a file takes in its write-ahead log: it is whole without it.
        _take_in(restored.path)
        self._hand_over(restored.path)
        kept = None if self.is_empty() else self._keep(aside)
        fault("recover.before_swap")
        restored.path.replace(self.path)
        fault("recover.after_swap")
        _sync(self.path.parent)
        unfinished_mark(self.path).unlink(missing_ok=True)
        return kept

    def _hand_over(self, new: Path) -> None:
        """Owner and mode as the old file had them; without one, the directory's owner alone."""
        there = self.path.parent if self.is_empty() else self.path
        model = there.stat()
        new.chmod(_PRIVATE if self.is_empty() else stat.S_IMODE(model.st_mode))
        if os.geteuid() != 0:
            return
        beside = [Path(f"{self.path}{end}") for end in _LOCK_FILES]
        for path in [new, *(file for file in beside if file.exists())]:
            os.chown(path, model.st_uid, model.st_gid)

    def _keep(self, aside: str) -> str:
        """Give the old files a second name; afterwards nothing lies beside the old file."""
        if self._is_readable():
            with suppress(apsw.Error):  # a damaged one keeps its log
                _take_in(self.path)
        kept = self.path.with_name(f"{self.path.name}.{aside}")
        os.link(self.path, kept)
        left = [end for end in _BESIDE if os.path.exists(f"{self.path}{end}")]
        for end in left:
            os.link(f"{self.path}{end}", f"{kept}{end}")
        _sync(self.path.parent)
        if left:
            # The new file must not meet the old log, and the old file without its log is not the
            # old data: between here and the swap nobody may open it.
            unfinished_mark(self.path).write_text(f"{kept}\n", "utf-8")
            _sync(self.path.parent)
            for end in left:
                os.unlink(f"{self.path}{end}")
        return str(kept)


#: How often a recovery looks, a second apart, whether everybody has left.
_LOOKS: Final = 4


class PostgresPlace:
    """A database of a server."""

    kind = "postgres"

    def __init__(self, url: str, *, alone: bool = True) -> None:
        self._url = url
        self._alone = alone
        self._connection: psycopg.Connection[Any] | None = None
        self._queries = load_queries("postgres")

    def __enter__(self) -> PostgresPlace:
        """Take the database; raises InUse, and NotAllowed for a role that is not its owner."""
        self._connection = connect(self._url)
        try:
            self._check_rights()
            if self._alone:
                self._take_alone()
        except StoreError:
            self._connection.close()
            raise
        return self

    def _check_rights(self) -> None:
        found = self._open.execute(self._queries["replace_rights_missing"].encode(), prepare=False)
        missing = [str(what) for (what,) in found.fetchall()]
        if missing:
            raise NotAllowed(f"{self._open.info.user} has no right {missing[0]}")

    def _take_alone(self) -> None:
        # Whoever has just gone may still be there for the server: a session ends a moment after
        # its client, and with it its share.
        looks_left = _LOOKS
        while self._value("presence_alone") is not True:
            looks_left -= 1
            if not looks_left:
                raise InUse(self.holders())
            time.sleep(1)

    def __exit__(self, *_: object) -> None:
        """Let it go: with the session goes what it held."""
        self._open.close()

    def is_empty(self) -> bool:
        """The schema has no table."""
        return self._value("replace_tables_there") == 0

    def holders(self) -> tuple[str, ...]:
        """From the server's list of locks."""
        found = self._open.execute(self._queries["presence_holders"].encode(), prepare=False)
        return tuple(str(holder) for (holder,) in found.fetchall())

    def old_epoch(self) -> int | None:
        """From the settings, if there are any."""
        try:
            rows = self._open.execute(self._queries["recovery_find"].encode()).fetchall()
        except psycopg.errors.UndefinedTable:
            return None
        return int(dict(rows).get("recovery_epoch", "0"))

    def install(self, restored: Restored, aside: str) -> str | None:
        """Move the old tables aside, make new ones, and copy every row, in one transaction."""
        connection, kept = self._open, None
        cursor = connection.execute(self._queries["transaction_begin"].encode(), prepare=False)
        cursor.nextset()
        row = cursor.fetchone()
        assert row is not None, "the transaction begins with its time"
        tx = PostgresTx(connection, row[0])
        if not self.is_empty():
            kept = f"schema {aside}"
            tx.script(self._queries["replace_move_aside"].replace("{aside}", aside))
        apply_migrations(tx, self.kind)
        source = restored.open()
        try:
            source.read(lambda scratch: self._take(tx, scratch, restored))
        finally:
            source.close()
        restored.finish(tx)
        if kept is not None:
            tx.script(self._queries["replace_rights"].replace("{aside}", aside))
        tx.check()
        fault("recover.before_swap")
        connection.execute(b"COMMIT", prepare=False)
        fault("recover.after_swap")
        return kept

    def _take(self, tx: PostgresTx, scratch: Tx, restored: Restored) -> None:
        Copier(tx, self.kind).copy_from(Copier(scratch, "sqlite"), restored.turned)
        restored.compare(scratch, tx, self.kind)

    @property
    def _open(self) -> psycopg.Connection[Any]:
        assert self._connection is not None, "used inside its with block"
        return self._connection

    def _value(self, query: str) -> object:
        row = self._open.execute(self._queries[query].encode(), prepare=False).fetchone()
        assert row is not None, "it answers one row"
        return row[0]


def place_of(url: str, sqlite_path: Path | None, *, alone: bool = True) -> Place:
    """The place that a database URL names. Not `alone`: only to be looked at, beside servers."""
    if sqlite_path is not None:
        return SqlitePlace(sqlite_path, alone=alone)
    return PostgresPlace(url, alone=alone)


def _take_in(path: Path) -> None:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        busy = next(iter(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")))[0]
        if busy:
            raise DatabaseUnavailable(reason=f"{path} is open in a program that is not ours")
    finally:
        connection.close()


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
