"""An append-only journal shared by the processes of one machine: `claims.jsonl` and its lock.

For: `file_backend.py`, which keeps what the lines mean.
Guarantees: within `exclusive` nobody else reads or writes, in no thread and no process; `append`
returns when the line is on disk; a line somebody else wrote is on disk before it is acted upon. A
torn last line, which only a crashed writer leaves, is cut. Any other byte that is not as written,
a journal that shrank, vanished or went back in time: StoreCorrupt.
Does not: wait for ever. A process that was stopped inside the lock makes others give up with
DatabaseUnavailable, as does a disk that fails.

Spec §7. Change colour: red (FORMAT).
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import time
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from settlement.core.canonical import k_bytes
from settlement.core.errors import CanonicalForm, DatabaseUnavailable, StoreCorrupt
from settlement.faults import fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Rec: TypeAlias = "dict[str, Any]"

LOCK_WAIT_SECONDS: Final = 30
#: The op of a record that may stand first with any number: what a compaction starts from.
BASE: Final = "base"
_LINE: Final = b'{"seq":%d,"crc":"%08x","rec":%s}\n'


class Journal:
    """One journal in one directory; threads may share it, and so may a parent and its forks."""

    def __init__(self, directory: Path, lock_wait_seconds: int = LOCK_WAIT_SECONDS) -> None:
        self._file: int | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._path = directory / "claims.jsonl"
        self._lock_path = directory / "claims.lock"
        self._lock_wait_ns = lock_wait_seconds * 1_000_000_000
        # All below only under the lock.
        self._pid = os.getpid()
        self._end = 0  # everything before this byte has been read
        self._seq = 0
        self.lines = 0

    @property
    def size(self) -> int:
        """Bytes read or written so far."""
        return self._end

    @contextmanager
    def exclusive(self) -> Iterator[tuple[bool, list[Rec]]]:
        """Hold the journal; gives whether to start over from nothing, and the lines since.

        The lock file is opened anew each time: `flock` belongs to the opening, so threads exclude
        each other, and a fork does not share its parent's lock.
        """
        with _disk("open"):
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for(lock)
            try:
                yield self._news()
            finally:
                # Said aloud, since a fork in the meantime holds a copy that closing leaves locked.
                fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)

    def __del__(self) -> None:
        """A journal nobody holds any more keeps no descriptor."""
        self.forget()

    def forget(self) -> None:
        """Read everything anew next time: what was read could not be used."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._end, self._seq, self.lines = None, 0, 0, 0

    def append(self, rec: Rec) -> None:
        """Write one line and wait for the disk, within `exclusive`; nothing is kept on failure."""
        assert self._file is not None
        line = encode(self._seq + 1, rec)
        fault("claims.before_append")
        with _disk("write"):
            try:
                # Two writes, so that a test can die between them as a power cut would.
                _write_all(self._file, line[: len(line) // 2])
                fault("claims.mid_append")
                _write_all(self._file, line[len(line) // 2 :])
                fault("claims.before_fsync")
                os.fsync(self._file)
            except OSError:
                with suppress(OSError):  # else the next reader cuts a torn line, or takes a whole
                    os.ftruncate(self._file, self._end)
                raise
        fault("claims.after_fsync")
        self._end += len(line)
        self._seq += 1
        self.lines += 1

    def rewrite(self, recs: Sequence[Rec]) -> None:
        """Replace all lines, within `exclusive`; a crash leaves the old journal or the new one."""
        assert recs
        assert recs[0]["op"] == BASE
        data = b"".join(encode(self._seq + 1 + n, rec) for n, rec in enumerate(recs))
        draft = self._path.with_suffix(".new")
        with _disk("rewrite"):
            try:
                file = os.open(draft, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o600)
                try:
                    _write_all(file, data)
                    os.fsync(file)
                    fault("claims.before_rename")
                    draft.replace(self._path)
                except OSError:
                    os.close(file)
                    raise
            except OSError:
                with suppress(OSError):
                    draft.unlink()
                raise
            self.forget()
            self._file, self._end, self.lines = file, len(data), len(recs)
            self._seq = json.loads(data.splitlines()[-1])["seq"]
            self._sync_directory()

    # --- inside, under the lock ------------------------------------------------------------------

    def _wait_for(self, lock: int) -> None:
        # Polled: a blocking flock has no time limit, and whoever is stopped inside would stop all.
        until = time.monotonic_ns() + self._lock_wait_ns
        pause_us = 200
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic_ns() >= until:
                    reason = f"{self._lock_path.name} is held by another process"
                    raise DatabaseUnavailable(reason=reason) from None
                time.sleep(random.randint(pause_us // 2, pause_us) / 1_000_000)  # noqa: S311  # spreads rivals
                pause_us = min(2 * pause_us, 10_000)
            else:
                return

    def _news(self) -> tuple[bool, list[Rec]]:
        with _disk("read"):
            known, start_over = self._seq, self._open_current()
            assert self._file is not None
            size = os.fstat(self._file).st_size
            if size < self._end:
                raise self._corrupt("it is shorter than it was")
            data = _read_all(self._file, size - self._end, self._end)
            whole = data.rfind(b"\n") + 1
            recs = self._decode(data[:whole].splitlines(keepends=True))
            if self._seq < known:
                raise self._corrupt("it is older than what was read before")
            self._end += whole
            if whole < len(data):
                self._cut(data[whole:])
            if data:
                # The writer may have been killed before its fsync: what is acted upon must last.
                os.fsync(self._file)
        return start_over, recs

    def _open_current(self) -> bool:
        """Open the journal unless it is open; True if it is another file than before."""
        if self._pid != os.getpid():
            self._pid = os.getpid()  # a fork may have been made in the middle of a call
            self.forget()
        if self._file is not None:
            try:
                there, here = self._path.stat(), os.fstat(self._file)
            except FileNotFoundError:
                raise self._corrupt("it is gone") from None
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                return False
            self.forget()
        created = not self._path.exists()
        self._file = os.open(self._path, _FLAGS | os.O_CREAT, 0o600)
        if created:
            self._sync_directory()
        return True

    def _decode(self, lines: Sequence[bytes]) -> list[Rec]:
        seq = self._seq
        recs: list[Rec] = []
        for line in lines:
            number = self.lines + len(recs) + 1
            found = decode(line)
            if found is None:
                raise self._corrupt(f"line {number} is not as it was written")
            at, rec = found
            first_of_compacted = number == 1 and rec.get("op") == BASE
            if at != seq + 1 and not first_of_compacted:
                raise self._corrupt(f"line {number} has number {at} after {seq}")
            seq = at
            recs.append(rec)
        self._seq = seq
        self.lines += len(recs)
        return recs

    def _cut(self, tail: bytes) -> None:
        """Cut what a crashed writer left. It held the lock, so nobody is writing it now."""
        if decode(tail[:-1] + b"\n") is not None:
            # All of a line but its end: no writer stops so, the end was damaged later.
            raise self._corrupt(f"the end of line {self.lines + 1} is not as it was written")
        assert self._file is not None
        os.ftruncate(self._file, self._end)

    def _sync_directory(self) -> None:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _corrupt(self, reason: str) -> StoreCorrupt:
        self.forget()
        return StoreCorrupt(where=self._path.name, reason=reason)


_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


def encode(seq: int, rec: Rec) -> bytes:
    """The bytes of one line; raises CanonicalForm."""
    body = k_bytes(rec)
    return _LINE % (seq, zlib.crc32(body), body)


def decode(line: bytes) -> tuple[int, Rec] | None:
    """Number and record of a line; None unless every byte is what `encode` writes."""
    try:
        read = json.loads(line)
        seq, rec = read["seq"], read["rec"]
        if type(seq) is int and isinstance(rec, dict) and encode(seq, rec) == line:
            return seq, rec
    except (ValueError, KeyError, TypeError, RecursionError, CanonicalForm):
        pass
    return None


@contextmanager
def _disk(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"claims.jsonl: {what} failed: {error.strerror}"
        raise DatabaseUnavailable(reason=reason) from error


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _read_all(file: int, size: int, offset: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = os.pread(file, size, offset)
        if not part:
            break
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return b"".join(parts)
