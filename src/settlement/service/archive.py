"""Archive files: written whole or not at all, read line by line with every byte accounted for.

For: `backup.py`, which writes, and `restore.py` and `--validate-only`, which read.
Guarantees: an archive appears under its name only when it and its `.sha256` are on disk; a reader
gets a row only after its line proved to be the line of that row, and at the end either everything
was as written or `Damaged` named the file and the line. Memory does not grow with the archive.
Does not: know databases.

Spec §17.1. Change colour: red.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from settlement.core.archive import (
    LINE_BYTES_MAX,
    MANIFEST,
    NAME,
    BadLine,
    FileEntry,
    Manifest,
    read_line,
    read_manifest,
)
from settlement.core.errors import BackupDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from settlement.core.canonical import Json

_CHUNK: Final = 1 << 20
_DIGEST_SUFFIX: Final = ".sha256"
_BROKEN: Final = (zlib.error, gzip.BadGzipFile, EOFError, tarfile.TarError)


def digest_path(archive: Path) -> Path:
    """Where an archive's own digest lies."""
    return archive.with_name(archive.name + _DIGEST_SUFFIX)


def archives_in(directory: Path) -> list[Path]:
    """The finished archives of a directory, oldest first."""
    if not directory.is_dir():
        return []
    found = (path for path in directory.iterdir() if NAME.fullmatch(path.name))
    return sorted(path for path in found if digest_path(path).exists())


def pack(archive: Path, files: Sequence[tuple[str, Path]], seconds: int) -> str:
    """Write a tar.gz of those files, on disk when this returns; its SHA-256."""
    with archive.open("wb") as raw:
        with (
            gzip.GzipFile("", "wb", 6, raw, mtime=seconds) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, path in files:
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.mode = path.stat().st_size, seconds, 0o600
                with path.open("rb") as file:
                    tar.addfile(member, file)
        raw.flush()
        os.fsync(raw.fileno())
    return digest_of(archive)


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_digest(archive: Path, digest: str, name: str) -> Path:
    """Write the `.sha256` of an archive that will have that name, as sha256sum does."""
    path = digest_path(archive)
    with path.open("w", encoding="ascii") as file:
        file.write(f"{digest}  {name}\n")
        file.flush()
        os.fsync(file.fileno())
    return path


class Reader:
    """One archive, read from its beginning to its end, once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = (MANIFEST, 1)
        self._seen: list[FileEntry] = []

    @contextmanager
    def opened(self) -> Iterator[tuple[Manifest, Iterator[tuple[FileEntry, Rows]]]]:
        """The manifest, and then each file with its rows, in the archive's order.

        Raises BackupDamaged, here or while rows are read. Whoever leaves rows unread has not
        checked them; `finish` reads what is left.
        """
        with self._path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as packed:
            try:
                with tarfile.open(fileobj=packed, mode="r|") as tar:
                    manifest = self._manifest(tar)
                    yield manifest, self._files(tar, manifest)
                    self._check_all(manifest)
                while packed.read(_CHUNK):  # to the end: there the checksum of the whole is
                    pass
            except _BROKEN as error:
                raise self._damaged(f"the compressed data is damaged there ({error})") from error
        self.check_digest()

    def check_digest(self) -> None:
        """Compare the archive with its `.sha256`."""
        self._at = (self._path.name, 0)
        try:
            words = digest_path(self._path).read_text("ascii").split()
        except (FileNotFoundError, UnicodeDecodeError) as error:
            raise self._damaged(f"its {_DIGEST_SUFFIX} file is missing or no text") from error
        if words != [digest_of(self._path), self._path.name]:
            raise self._damaged(
                f"it, or its {_DIGEST_SUFFIX} file, has changed, though every line is as written"
            )

    def _manifest(self, tar: tarfile.TarFile) -> Manifest:
        member = tar.next()
        file = tar.extractfile(member) if member is not None and member.name == MANIFEST else None
        if file is None:
            raise self._damaged("the archive does not begin with it")
        try:
            return read_manifest(file.read(LINE_BYTES_MAX))
        except BadLine as error:
            raise self._damaged(str(error)) from error

    def _files(self, tar: tarfile.TarFile, manifest: Manifest) -> Iterator[tuple[FileEntry, Rows]]:
        for entry in manifest.files:
            self._at = (entry.name, 1)
            member = tar.next()
            file = tar.extractfile(member) if member is not None else None
            if member is None or member.name != entry.name or file is None:
                raise self._damaged("the file is missing where it belongs")
            rows = Rows(self, file, entry, manifest.schema)
            yield entry, rows
            for _row in rows:
                pass
            self._seen.append(entry)

    def _check_all(self, manifest: Manifest) -> None:
        for entry in manifest.files:
            assert entry in self._seen, "the caller reads every file"

    def _damaged(self, reason: str) -> BackupDamaged:
        file, line = self._at
        return BackupDamaged(archive=self._path.name, file=file, line=line, reason=reason)

    def next_line(self, file: IO[bytes], name: str, number: int) -> bytes:
        """One line; where the reader stands is kept for whoever must name a damage."""
        self._at = (name, number)
        line = file.readline(LINE_BYTES_MAX + 1)
        if len(line) > LINE_BYTES_MAX:
            raise self._damaged("the line is longer than any row")
        return line

    def row(self, line: bytes, table: str, schema: int) -> Mapping[str, Json]:
        """The row of the line at hand."""
        try:
            return read_line(line, table, schema)
        except BadLine as error:
            raise self._damaged(str(error)) from error

    def check_end(self, entry: FileEntry, lines: int, digest: str) -> None:
        """A file has as many lines, and the bytes, that the manifest says."""
        if (lines, digest) != (entry.lines, entry.sha256):
            raise self._damaged(
                f"the manifest says {entry.lines} lines and another digest than these {lines} have"
            )


class Rows:
    """The rows of one file; iterating goes on where it stopped, so it ends once."""

    def __init__(self, reader: Reader, file: IO[bytes], entry: FileEntry, schema: int) -> None:
        self._steps = self._read(reader, file, entry, schema)

    def __iter__(self) -> Iterator[Mapping[str, Json]]:
        """Go on."""
        return self._steps

    @staticmethod
    def _read(
        reader: Reader, file: IO[bytes], entry: FileEntry, schema: int
    ) -> Iterator[Mapping[str, Json]]:
        digest, number = hashlib.sha256(), 0
        while line := reader.next_line(file, entry.name, number + 1):
            number += 1
            digest.update(line)
            yield reader.row(line, entry.table, schema)
        reader.check_end(entry, number, digest.hexdigest())
