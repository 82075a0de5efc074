"""Reads a backup back: checks all of it in a scratch database, then puts that in its place.

For: `settlement recover`, and `settlement backup --validate-only` for the newest archive.
Guarantees: nothing is touched before every line, the log's root, the totals and the whole audit
have been found as the manifest says, by reading back what was loaded; the audit runs as of the
moment of the backup, since deadlines that have passed while it lay in a drawer are no faults.
What is installed is the checked rows and the marks of a recovery, in one step.
Does not: lift the parking it leaves behind; `recovery.py` does, when rails have been asked.

Spec §17.1, §17.2. Change colour: red.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from settlement.core.archive import MANIFEST, Manifest
from settlement.core.clock import parse_time, time_text
from settlement.core.errors import BackupDamaged, StoreCorrupt
from settlement.faults import fault
from settlement.service.archive import Reader
from settlement.service.audit import AuditReport, run_audit
from settlement.service.audit_base import AuditContext
from settlement.service.backup import QUIET, file_entries
from settlement.service.recovery import mark_recovered
from settlement.signing import verify_ed25519
from settlement.store.backup import read_figures
from settlement.store.copying import Copier
from settlement.store.database import MigrationRefused, StoreError, SystemClock
from settlement.store.migrate import migrations_of
from settlement.store.replacing import Restored
from settlement.store.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from settlement.core.archive import FileEntry
    from settlement.service.archive import Rows
    from settlement.service.audit import Watcher
    from settlement.service.backup import Progress
    from settlement.store.database import Tx
    from settlement.store.replacing import Place

SCRATCH: Final = ".restoring-"


@dataclass(frozen=True, slots=True)
class _Then:
    """A clock that stands at the moment of the backup."""

    us: int

    def now_us(self) -> int:
        """That moment."""
        return self.us


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """An archive that was read to its end, and what the audit of its rows said."""

    archive: Path
    manifest: Manifest
    signature: str
    audit: AuditReport
    scratch: Path

    @property
    def sound(self) -> bool:
        """The rows are as written, and the books they hold are right."""
        return self.audit.clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A recovery that was made: its epoch, and where the old data lies now."""

    epoch: int
    kept: str | None


def check_lines(archive: Path, keys: Mapping[str, bytes], progress: Progress = QUIET) -> Manifest:
    """Read an archive to its end without loading it; raises BackupDamaged."""
    with Reader(archive).opened() as (manifest, files):
        check_signature(archive, manifest, keys)
        progress.total(sum(file.lines for file in manifest.files))
        for entry, rows in files:
            for _row in rows:
                pass
            progress.turned(entry.lines)
    return manifest


def check_signature(archive: Path, manifest: Manifest, keys: Mapping[str, bytes]) -> str:
    """Say who signed it; raises BackupDamaged when it was not the key it names."""
    signature = manifest.signature
    if signature is None:
        return "not signed"
    key = keys.get(str(signature.get("key_id")))
    if key is None:
        return f"not checked: this machine has no key {signature.get('key_id')}"
    try:
        raw = base64.b64decode(str(signature.get("signature")), validate=True)
    except binascii.Error:
        raw = b""
    if not verify_ed25519(key, manifest.signed_bytes(), raw):
        raise BackupDamaged(
            archive=archive.name, file=MANIFEST, line=1, reason="its signature does not verify"
        )
    return f"signed by {signature.get('key_id')}"


@contextmanager
def checked(
    archive: Path,
    keys: Mapping[str, bytes],
    beside: Path | None,
    progress: Progress = QUIET,
    watcher: Watcher | None = None,
) -> Iterator[Checked]:
    """Load an archive into a scratch database, beside a file or in a directory of its own, and
    check it there; the scratch is gone at the end, unless somebody gave it another name.

    Raises BackupDamaged, MigrationRefused for an archive of a later release.
    """
    with _scratch(beside) as scratch:
        manifest, signature = _load(archive, scratch, keys, progress)
        db = SqliteDatabase(str(scratch), _Then(parse_time(manifest.created_at)))
        try:
            context = AuditContext(public_keys=dict(keys), verify=verify_ed25519)
            report = run_audit(db, context, watcher)
        finally:
            db.close()
        fault("recover.after_check")
        yield Checked(
            archive=archive,
            manifest=manifest,
            signature=signature,
            audit=report,
            scratch=scratch,
        )


def install(
    found: Checked,
    place: Place,
    operator: str,
    lost_since: str | None = None,
    turned: Callable[[int], None] = lambda _rows: None,
) -> Installed:
    """Put checked rows in their place, marked as recovered. The place is held by the caller.

    `lost_since`: when what is lost began, if the backup is of a database that was itself restored.
    """
    # Above what was there, too: the same backup may be restored twice, and the fences of the
    # first time are out in the world.
    epoch = max(found.manifest.recovery_epoch, place.old_epoch() or 0) + 1

    def finish(tx: Tx) -> None:
        mark_recovered(tx, found.manifest, epoch=epoch, lost_since=lost_since, operator=operator)

    stamp = time_text(SystemClock().now_us())
    aside = "before_" + "".join(mark for mark in stamp.lower() if mark.isalnum())
    restored = Restored(
        path=found.scratch,
        open=lambda: SqliteDatabase(str(found.scratch), SystemClock()),
        finish=finish,
        compare=_compare_places,
        turned=turned,
    )
    return Installed(epoch=epoch, kept=place.install(restored, aside))


def _compare_places(scratch: Tx, there: Tx, kind: str) -> None:
    """What stands in the new place is what was checked: read both."""
    if file_entries(Copier(scratch, "sqlite"), 0) != file_entries(Copier(there, kind), 0):
        raise StoreCorrupt(where="the restored database", reason="it reads back as other rows")


def _migrate(scratch: Path) -> None:
    db = SqliteDatabase(str(scratch), SystemClock())
    try:
        db.migrate()
    finally:
        db.close()


def _compare(archive: Path, manifest: Manifest, same: object, what: str) -> None:
    if not same:
        raise BackupDamaged(
            archive=archive.name,
            file=MANIFEST,
            line=1,
            reason=f"it names other values than {what} of {manifest.created_at} have",
        )


def _load(
    archive: Path, scratch: Path, keys: Mapping[str, bytes], progress: Progress
) -> tuple[Manifest, str]:
    """Fill the scratch, read it back, and compare it with the manifest."""
    db = SqliteDatabase(str(scratch), SystemClock())
    try:
        with Reader(archive).opened() as (manifest, files):
            signature = check_signature(archive, manifest, keys)
            _check_schema(manifest)
            db.migrate(manifest.schema)
            progress.total(2 * sum(file.lines for file in manifest.files))
            db.transaction(lambda tx: _fill(tx, archive, files, progress))
        figures = db.read(read_figures)
        entries = db.read(
            lambda tx: file_entries(Copier(tx, "sqlite"), manifest.schema, None, progress)
        )
    finally:
        db.close()
    _compare(archive, manifest, entries == manifest.files, "the rows")
    _compare(archive, manifest, figures.totals == manifest.totals, "the totals")
    log = (figures.tree_size, figures.root_hash)
    _compare(archive, manifest, log == (manifest.tree_size, manifest.root_hash), "the log")
    _compare(archive, manifest, figures.recovery_epoch == manifest.recovery_epoch, "the epoch")
    # Rows of an older release take the way of every other database of that release.
    _migrate(scratch)
    return manifest, signature


def _fill(
    tx: Tx, archive: Path, files: Iterator[tuple[FileEntry, Rows]], progress: Progress
) -> None:
    copier = Copier(tx, "sqlite")
    tables = {table.name: table for table in copier.tables()}
    name = MANIFEST
    try:
        with copier.loading() as put:
            for entry, rows in files:
                name = entry.name
                put(tables.pop(entry.table), rows)
                progress.turned(entry.lines)
    except (StoreError, KeyError) as error:
        reason = f"its rows are refused ({error})"
        raise BackupDamaged(archive=archive.name, file=name, line=1, reason=reason) from error
    if tables:
        missing = ", ".join(sorted(tables))
        reason = f"it names no file for {missing}"
        raise BackupDamaged(archive=archive.name, file=MANIFEST, line=1, reason=reason)


def _check_schema(manifest: Manifest) -> None:
    known = len(migrations_of("sqlite"))
    if manifest.schema > known:
        raise MigrationRefused(
            f"the backup is of schema {manifest.schema}, this release knows {known}: "
            f"run release {manifest.release}, or a later one"
        )


@contextmanager
def _scratch(beside: Path | None) -> Iterator[Path]:
    """A name for a scratch file; whatever has it, and what lies beside it, is removed."""
    if beside is None:
        with tempfile.TemporaryDirectory(prefix="settlement-restore-") as directory:
            yield Path(directory) / "scratch.db"
        return
    for left in beside.parent.glob(f"{beside.name}{SCRATCH}*"):
        left.unlink()  # of a recovery that was killed; we hold the database alone
    path = beside.with_name(f"{beside.name}{SCRATCH}{secrets.token_hex(4)}")
    try:
        yield path
    finally:
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()
