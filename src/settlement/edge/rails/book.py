"""An append-only JSONL file shared by threads and processes: the simulated rail's book.

For: `simulated.py`, which keeps an index of the lines.
Guarantees: within `exclusive` nobody else appends; each line is read once per process, so an index
costs only what is new; `make_durable` returns when everything up to a position is on disk, and
callers that wait together share one fsync. A torn last line is cut off before the next is written.
Does not: know what the lines mean.
Change colour: green.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from settlement.core.errors import StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Book:
    """One file. Not to be shared across a fork: each process opens its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._syncing = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._durable = 0
        self.end = 0  # everything before this position has been read

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    @contextmanager
    def exclusive(self) -> Iterator[list[dict[str, Any]]]:
        """Hold the file alone; gives the lines added since this process last looked."""
        with self._turn:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield self._new_lines()
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def append(self, records: Sequence[dict[str, Any]]) -> int:
        """Add lines, within `exclusive`; the position up to which they reach. Not yet durable."""
        if records:
            lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
            data = lines.encode()
            written = os.write(self._file, data)
            if written != len(data):
                os.ftruncate(self._file, self.end)
                raise OSError(f"{self._path}: the disk took {written} of {len(data)} bytes")
            self.end += written
        return self.end

    def make_durable(self, end: int) -> None:
        """Wait until everything before this position is on disk."""
        with self._syncing:
            if self._durable < end:
                reached = self.end  # written before the sync starts, so covered by it
                os.fsync(self._file)
                self._durable = reached

    def _new_lines(self) -> list[dict[str, Any]]:
        size = os.fstat(self._file).st_size
        if size == self.end:
            return []
        data = os.pread(self._file, size - self.end, self.end)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            # Only a crashed writer leaves this: it held the lock, so nobody is writing it now.
            os.ftruncate(self._file, self.end + whole)
        try:
            records = [json.loads(line) for line in data[:whole].splitlines()]
        except ValueError as error:
            where = f"{self._path.name} after byte {self.end}"
            raise StoreCorrupt(where=where, reason="a line is not JSON") from error
        self.end += whole
        return records
