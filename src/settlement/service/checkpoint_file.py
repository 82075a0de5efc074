"""The last signed tree head, kept in a file outside the database and its backups (spec §8.3).

For: the sequencer, which writes it after each head, and the start-up check, which refuses to go on
from a restored database that knows less than was once signed (spec §17.2).
Guarantees: the file is a whole head at any moment, on disk before `advance` returns, and never
goes back to a smaller one, also when several processes write it.
Does not: judge a head; whoever calls `advance` has committed and proven it.
Change colour: red.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from settlement.core.canonical import load_json
from settlement.core.checkpoint import TreeHead, head_from_document
from settlement.core.errors import CanonicalForm, CheckpointDamaged, InvalidField

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class CheckpointFile:
    """One head in one file; None as a path means that none is kept."""

    __slots__ = ("_path",)

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> TreeHead | None:
        """The head in the file, None without one; raises CheckpointDamaged for any other text."""
        if self._path is None:
            return None
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise self._damaged("it is not text") from error
        try:
            document = load_json(text)
            if not isinstance(document, dict):
                raise self._damaged("it is no JSON object")
            return head_from_document(document)
        except CanonicalForm as error:
            raise self._damaged("it is not JSON") from error
        except InvalidField as error:
            raise self._damaged(f"{error.field} {error.reason}") from error

    def _damaged(self, reason: str) -> CheckpointDamaged:
        return CheckpointDamaged(path=str(self._path), reason=reason)

    def advance(self, head: TreeHead) -> bool:
        """Write a larger head than the file's; tells whether it did. The head is committed."""
        if self._path is None:
            return False
        with self._locked():
            known = self.read()
            if known is not None and known.tree_size >= head.tree_size:
                return False
            self._replace(head)
        return True

    def accept(self, head: TreeHead | None) -> None:
        """Put a head in place of a larger one, or remove the file: an operator accepts the gap."""
        if self._path is None:
            return
        with self._locked():
            if head is not None:
                self._replace(head)
            else:
                self._path.unlink(missing_ok=True)
                self._sync_directory()

    def _replace(self, head: TreeHead) -> None:
        assert self._path is not None, "callers have checked"
        draft = self._path.with_name(f".{self._path.name}.draft")  # ours alone: we hold the lock
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head.document(), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._sync_directory()

    def _sync_directory(self) -> None:
        assert self._path is not None, "callers have checked"
        handle = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A holder that overslept its lease may still want to write an older head: reading,
        # comparing and writing are one step under this lock, so the file never goes back.
        assert self._path is not None, "callers have checked"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f".{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
