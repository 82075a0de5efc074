"""Takes a backup: one snapshot of every table, written as an archive with a signed manifest.

For: `settlement backup`, and moves from one database to another.
Guarantees: all rows, and what the manifest says of them, are of one snapshot, whatever is written
meanwhile; a table that exists is in the archive; an archive has its name only when it is whole and
on disk, and so does its `.sha256`, which is there first. One backup at a time per directory; what
a killed one left is cleared by the next. Memory stays the same however large the books are.
Does not: stop anybody from working, or hold keys: the signing key only signs.

Spec §17.1. Change colour: red.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from settlement import __version__
from settlement.core.archive import (
    MANIFEST,
    SUFFIX,
    FileEntry,
    Manifest,
    manifest_bytes,
    name_time_us,
    row_line,
)
from settlement.core.checkpoint import ED25519
from settlement.core.clock import SECOND_US, parse_time, time_text
from settlement.core.errors import BackupRunning, InvalidField
from settlement.faults import fault
from settlement.service.archive import archives_in, digest_path, pack, write_digest
from settlement.store.backup import read_figures
from settlement.store.copying import Copier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from settlement.signing import Signer
    from settlement.store.copying import Table
    from settlement.store.database import Database, Tx

LABEL_MAX: Final = 64
_PARTIAL: Final = ".partial-"
_LOCK: Final = ".backup.lock"
_TOLD_EVERY: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPlan:
    """Where to put it, how many to keep, and a word on it."""

    out: Path
    keep: int
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A finished backup."""

    path: Path
    sha256: str
    manifest: Manifest
    removed: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return sum(file.lines for file in self.manifest.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Who wants to see it go on: told the rows there are, and those of each step."""

    total: Callable[[int], None] = lambda _rows: None
    turned: Callable[[int], None] = lambda _rows: None


QUIET: Final = Progress()


def take_backup(
    db: Database, plan: BackupPlan, signer: Signer | None, progress: Progress = QUIET
) -> Taken:
    """Take one; raises BackupRunning while another writes to the same directory."""
    if len(plan.label) > LABEL_MAX or not plan.label.isprintable():
        raise InvalidField(field="label", reason=f"is longer than {LABEL_MAX} or not printable")
    with _alone_in(plan.out):
        stage = plan.out / f"{_PARTIAL}{secrets.token_hex(6)}"
        stage.mkdir(mode=0o700)
        manifest = db.read(lambda tx: _spool(tx, db.kind, stage, plan.label, progress))
        manifest = _signed(manifest, signer)
        fault("backup.after_snapshot")
        path, sha256 = _publish(plan.out, stage, manifest)
        shutil.rmtree(stage)
        removed = _prune(plan.out, plan.keep)
    return Taken(path=path, sha256=sha256, manifest=manifest, removed=removed)


def file_entries(
    copier: Copier, schema: int, stage: Path | None = None, progress: Progress = QUIET
) -> tuple[FileEntry, ...]:
    """Every table's rows as lines: counted, digested and, with a directory, written there."""
    tables = copier.tables()
    return tuple(_write_table(copier, table, schema, stage, progress) for table in tables)


def _spool(tx: Tx, kind: str, stage: Path, label: str, progress: Progress) -> Manifest:
    copier = Copier(tx, kind)
    progress.total(sum(copier.count(table) for table in copier.tables()))
    figures = read_figures(tx)
    return Manifest(
        release=__version__,
        database=kind,
        schema=figures.schema,
        created_at=tx.now,
        label=label,
        files=file_entries(copier, figures.schema, stage, progress),
        tree_size=figures.tree_size,
        root_hash=figures.root_hash,
        recovery_epoch=figures.recovery_epoch,
        totals=figures.totals,
    )


def _write_table(
    copier: Copier, table: Table, schema: int, stage: Path | None, progress: Progress
) -> FileEntry:
    digest, lines = hashlib.sha256(), 0
    name = table.name + SUFFIX
    with (stage / name if stage is not None else Path(os.devnull)).open("wb") as file:
        for row in copier.rows(table):
            line = row_line(table.name, schema, row)
            digest.update(line)
            file.write(line)
            lines += 1
            if lines % _TOLD_EVERY == 0:
                progress.turned(_TOLD_EVERY)
    progress.turned(lines % _TOLD_EVERY)
    return FileEntry(name=name, lines=lines, sha256=digest.hexdigest())


def _signed(manifest: Manifest, signer: Signer | None) -> Manifest:
    if signer is None:
        return manifest
    signature = base64.b64encode(signer.sign(manifest.signed_bytes())).decode("ascii")
    members = {"algorithm": ED25519, "key_id": signer.key_id, "signature": signature}
    return replace(manifest, signature=members)


def _publish(out: Path, stage: Path, manifest: Manifest) -> tuple[Path, str]:
    """Write the archive aside and give it its name when it is whole."""
    made_us = parse_time(manifest.created_at)
    (stage / MANIFEST).write_bytes(manifest_bytes(manifest))
    names = [MANIFEST, *(file.name for file in manifest.files)]
    name = _free_name(out, made_us)
    draft = stage / name
    sha256 = pack(draft, [(one, stage / one) for one in names], made_us // SECOND_US)
    draft.chmod(0o600)
    digest = write_digest(draft, sha256, name)
    fault("backup.before_names")
    # The digest first: an archive that can be seen can be checked.
    digest.replace(digest_path(out / name))
    fault("backup.between_names")
    draft.replace(out / name)
    _sync(out)
    return out / name, sha256


def _free_name(out: Path, made_us: int) -> str:
    """Named by its second, and always after the newest there is: the order of names is the order
    in which they were taken, also of two in one second, and when the clock was set back."""
    newest = next((path.name for path in reversed(archives_in(out))), "")
    name = ""
    while not name or name <= newest or (out / name).exists():
        text = time_text(made_us)
        day, clock = text[:10].replace("-", ""), text[11:19].replace(":", "")
        name = f"backup_{day}T{clock}Z.tar.gz"
        if name < newest:
            made_us = name_time_us(newest)
        made_us += SECOND_US
    return name


def _prune(out: Path, keep: int) -> tuple[str, ...]:
    """Remove all but the newest; the archive before its digest, so that none is left unchecked."""
    old = archives_in(out)[:-keep]
    for path in old:
        path.unlink()
        digest_path(path).unlink()
    return tuple(path.name for path in old)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Hold a directory for one backup, cleared of what a killed one left."""
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (out / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRunning(directory=str(out)) from None
        for left in out.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left)
        yield


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
