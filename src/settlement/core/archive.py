"""The form of a backup archive: lines, manifest, names. Bytes in, values out.

For: `service/backup.py`, which writes archives, and `service/restore.py`, which reads them back.
Guarantees: a row has exactly one line, so a line with any byte changed is no line of any row; the
manifest covers every file by name, number of lines and digest, and itself by a digest of its own.
The content hash says the same of the same rows, whichever database held them.
Does not: read files, know tables, or sign.

Spec §17.1. Change colour: red (FORMAT).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.canonical import framed_hash, k_bytes, k_string, load_json, sha256_hex
from settlement.core.clock import parse_time
from settlement.core.errors import CanonicalForm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settlement.core.canonical import Json

VERSION: Final = 1
MANIFEST: Final = "manifest.json"
SUFFIX: Final = ".jsonl"
#: No row comes near it; a reader of damaged data must not swallow the machine's memory.
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
NAME: Final = re.compile(r"backup_\d{8}T\d{6}Z\.tar\.gz")


class BadLine(Exception):
    """A line, or a manifest, that is not what was written. The message says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of an archive: a table's rows in the order of its key."""

    name: str
    lines: int
    sha256: str

    @property
    def table(self) -> str:
        """The table whose rows it holds."""
        return self.name.removesuffix(SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive holds, from which database and when; `signature` covers all the rest."""

    release: str
    database: str  # sqlite | postgres
    schema: int
    created_at: str
    label: str
    files: tuple[FileEntry, ...]
    tree_size: int
    root_hash: str
    recovery_epoch: int
    totals: Mapping[str, Json]
    signature: Mapping[str, Json] | None = None

    @property
    def content_hash(self) -> str:
        """A digest of all rows: equal for equal rows, on any database."""
        return content_hash(self.files)

    def document(self) -> dict[str, Json]:
        """All members but the signature and the digest."""
        return {
            "version": VERSION,
            "release": self.release,
            "database": self.database,
            "schema": self.schema,
            "created_at": self.created_at,
            "label": self.label,
            "files": [
                {"name": file.name, "lines": file.lines, "sha256": file.sha256}
                for file in self.files
            ],
            "tree_size": self.tree_size,
            "root_hash": self.root_hash,
            "recovery_epoch": self.recovery_epoch,
            "totals": self.totals,
            "content_hash": self.content_hash,
        }

    def signed_bytes(self) -> bytes:
        """What the log's key signs."""
        return k_bytes(self.document())


def name_time_us(name: str) -> int:
    """The second that an archive is named by."""
    day, clock = name[7:15], name[16:22]
    text = f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}.000000Z"
    return parse_time(text)


def content_hash(files: Sequence[FileEntry]) -> str:
    """F over name, lines and digest of every file, in the order of their names."""
    listed: list[Json] = [
        [file.name, file.lines, file.sha256] for file in sorted(files, key=lambda one: one.name)
    ]
    return framed_hash("backup-content", k_bytes(listed))


def row_line(table: str, schema: int, row: Mapping[str, Json]) -> bytes:
    """The one line of a row: K of {h, row, t, v}, where h is the SHA-256 of K(row)."""
    inner = k_bytes(row)
    digest = hashlib.sha256(inner).hexdigest().encode()
    tail = f',"t":{k_string(table)},"v":{schema}}}\n'.encode()
    return b'{"h":"' + digest + b'","row":' + inner + tail


def read_line(line: bytes, table: str, schema: int) -> Mapping[str, Json]:
    """The row of a line; raises BadLine unless it is byte for byte the line of that row."""
    row = _members(line).get("row")
    if not isinstance(row, dict):
        raise BadLine("it holds no row")
    try:
        if row_line(table, schema, row) != line:
            raise BadLine("its digest does not match its row")
    except CanonicalForm as error:
        raise BadLine(f"its row is no canonical value ({error.reason})") from error
    return row


def manifest_bytes(manifest: Manifest) -> bytes:
    """The text of manifest.json: one line, its own digest and the signature included."""
    signature = manifest.signature
    whole = {**manifest.document(), "signature": dict(signature) if signature else None}
    return k_bytes({**whole, "h": sha256_hex(k_bytes(whole))}) + b"\n"


def read_manifest(text: bytes) -> Manifest:
    """Read manifest.json; raises BadLine unless it is byte for byte what `manifest_bytes` wrote."""
    members = _members(text)
    if members.get("version") != VERSION:
        raise BadLine(f"archives of version {members.get('version')!r} are not known here")
    try:
        manifest = _manifest_of(members)
        same = manifest_bytes(manifest) == text
    except (KeyError, TypeError, ValueError, CanonicalForm) as error:
        raise BadLine(f"a member is missing or of the wrong type ({error})") from error
    if not same:
        raise BadLine("its digest does not match its content")
    return manifest


def _manifest_of(members: Mapping[str, Json]) -> Manifest:
    files = members["files"]
    if not isinstance(files, list):
        raise TypeError("files")
    return Manifest(
        release=_text(members, "release"),
        database=_text(members, "database"),
        schema=_whole(members, "schema"),
        created_at=_text(members, "created_at"),
        label=_text(members, "label"),
        files=tuple(_file_of(file) for file in files),
        tree_size=_whole(members, "tree_size"),
        root_hash=_text(members, "root_hash"),
        recovery_epoch=_whole(members, "recovery_epoch"),
        totals=_object(members["totals"], "totals"),
        signature=(
            _object(members["signature"], "signature") if members["signature"] is not None else None
        ),
    )


def _file_of(value: Json) -> FileEntry:
    members = _object(value, "files")
    return FileEntry(
        name=_text(members, "name"), lines=_whole(members, "lines"), sha256=_text(members, "sha256")
    )


def _members(line: bytes) -> Mapping[str, Json]:
    try:
        value = load_json(line.decode("utf-8"))
    except (UnicodeDecodeError, CanonicalForm) as error:
        raise BadLine("it is no JSON") from error
    return _object(value, "the line", BadLine)


def _object(value: Json, name: str, refuse: type[Exception] = TypeError) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise refuse(f"{name} is no object")
    return value


def _text(members: Mapping[str, Json], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _whole(members: Mapping[str, Json], name: str) -> int:
    value = members[name]
    if type(value) is not int:
        raise TypeError(name)
    return value
