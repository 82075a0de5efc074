"""`settlement recover`: check a backup in a scratch place, then put it where the books are.

Exit 0 ok, 1 the backup is not valid, 2 usage, 3 somebody has the database open (spec §17.2).
`--validate` without `--target` only checks, and may run beside servers.
Does not: check less when told not to ask (`--force`).

Spec §17.2. Change colour: amber.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from settlement.cli.audit import known_outside
from settlement.cli.backup import watching
from settlement.cli.output import (
    EXIT_NO,
    EXIT_OK,
    console,
    database_option,
    emit,
    json_option,
    notes,
    settings_from_environment,
)
from settlement.cli.pause import operator_name
from settlement.config import load
from settlement.core.errors import BackupDamaged
from settlement.service.archive import archives_in
from settlement.service.restore import Checked, checked, install
from settlement.store.presence import InUse
from settlement.store.replacing import SqlitePlace, place_of

if TYPE_CHECKING:
    from settlement.config import Settings
    from settlement.service.restore import Installed
    from settlement.store.replacing import Place

#: A server, a worker or a command has the database open.
EXIT_IN_USE = 3


@click.command()
@click.option("--latest", is_flag=True, help="The newest archive of --out.")
@click.option("--file", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where --latest looks, instead of SETTLEMENT_BACKUP_DIR.",
)
@click.option("--validate", is_flag=True, help="Check the archive; without --target, no more.")
@click.option("--target", metavar="URL", help="Restore there instead of into SETTLEMENT_DATABASE.")
@click.option("--dry-run", is_flag=True, help="Check everything and tell; change nothing.")
@click.option("--force", is_flag=True, help="Do not ask. What is checked stays the same.")
@click.option(
    "--lost-since",
    metavar="TIME",
    help="When the lost time began, if not with the backup: 2026-01-31T12:00:00Z.",
)
@click.option("--operator", default=None, help="Who does it; the system's user if left out.")
@database_option
@json_option
def recover(  # noqa: PLR0913  # one parameter per option
    *,
    latest: bool,
    file: Path | None,
    out: Path | None,
    validate: bool,
    target: str | None,
    dry_run: bool,
    force: bool,
    lost_since: str | None,
    operator: str | None,
    database: str | None,
    as_json: bool,
) -> int:
    """Check a backup and restore from it; what was there is moved aside."""
    settings = settings_from_environment(database=database)
    archive = _chosen(file, out or settings.backup_dir, latest=latest)
    answer = _Answer(as_json=as_json)
    try:
        if validate and target is None:
            return answer.validated(archive, settings)
        if not (force or dry_run or sys.stdin.isatty()):
            raise click.UsageError("nobody can be asked here: say --force, or --validate to check")
        where = settings if target is None else replace(settings, database=_url(target))
        with place_of(where.database, where.sqlite_path) as place:
            return _restore(
                answer,
                settings,
                archive,
                place,
                _How(dry_run, force, operator, _moment(lost_since)),
            )
    except InUse:
        return answer.in_use()
    except BackupDamaged as damage:
        return answer.damaged(damage)


class _How:
    """What the operator said about how."""

    def __init__(
        self,
        dry_run: bool,  # noqa: FBT001
        force: bool,  # noqa: FBT001
        operator: str | None,
        lost_since: str | None,
    ) -> None:
        self.lost_since = lost_since
        self.dry_run, self.force = dry_run, force
        self.operator = operator_name(operator)


def _restore(answer: _Answer, settings: Settings, archive: Path, place: Place, how: _How) -> int:
    beside = place.path if isinstance(place, SqlitePlace) else None
    keys = known_outside(settings).public_keys
    with watching("checking") as watch, checked(archive, keys, beside, watch) as found:
        if not found.sound:
            return answer.checked(found)
        if how.dry_run:
            return answer.checked(found, would=True, empty=place.is_empty())
        if not (how.force or place.is_empty()):
            click.confirm(
                f"Move the data aside that is there, and restore {found.manifest.created_at}?",
                abort=True,
                err=True,
            )
        done = install(found, place, how.operator, how.lost_since)
    return answer.installed(found, done)


def _chosen(file: Path | None, out: Path, *, latest: bool) -> Path:
    if (file is not None) == latest:
        raise click.UsageError("name one archive: --latest or --file")
    if file is not None:
        return file
    found = archives_in(out)
    if not found:
        raise click.UsageError(f"there is no archive in {out}")
    return found[-1]


def _moment(text: str | None) -> str | None:
    """A time of day as rows have it."""
    if text is None:
        return None
    try:
        whole = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    except ValueError:
        raise click.UsageError("--lost-since is no time like 2026-01-31T12:00:00Z") from None
    return whole.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _url(target: str) -> str:
    """A path is an SQLite file."""
    url = target if "://" in target else f"sqlite:///{target}"
    return load({}, database=url).database


class _Answer:
    """What the command says."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def validated(self, archive: Path, settings: Settings) -> int:
        """Only checked."""
        keys = known_outside(settings).public_keys
        with watching("checking") as watch, checked(archive, keys, None, watch) as found:
            return self.checked(found)

    def checked(self, found: Checked, *, would: bool = False, empty: bool = False) -> int:
        """What a check found."""
        members = {"ok": found.sound, **_members(found)}
        if self._as_json:
            emit(members)
        else:
            self._lines(found)
            if would:
                moved = "nothing is there to move aside" if empty else "what is there moves aside"
                console().print(f"It would be restored; {moved}. Nothing was changed.")
        return EXIT_OK if found.sound else EXIT_NO

    def installed(self, found: Checked, done: Installed) -> int:
        """Restored."""
        if self._as_json:
            made = {"recovery_epoch": done.epoch, "kept": done.kept}
            emit({"ok": True, **_members(found), **made})
            return EXIT_OK
        self._lines(found)
        console().print(f"[bold green]restored[/], recovery epoch {done.epoch}")
        if done.kept is not None:
            console().print(f"The old data is kept: {done.kept}")
        console().print(
            "Next: `settlement accept-gap` if the log is behind its checkpoint, then"
            " `settlement reconcile`; until then rails are parked and deliveries held."
        )
        return EXIT_OK

    def in_use(self) -> int:
        """Somebody has it open."""
        said = (
            "The database is open in another process: a server, a worker or a command."
            " Stop it, then run this again."
        )
        return self._refused("database_in_use", said, EXIT_IN_USE)

    def damaged(self, damage: BackupDamaged) -> int:
        """The archive is not what was written."""
        return self._refused(damage.code, damage.detail, EXIT_NO, **damage.members())

    def _refused(self, code: str, said: str, exit_code: int, **members: object) -> int:
        if self._as_json:
            emit({"ok": False, "error": code, "detail": said, **members})
        else:
            notes().print("[bold red]Error:[/] ", end="")
            notes().print(said, markup=False)
        return exit_code

    @staticmethod
    def _lines(found: Checked) -> None:
        manifest = found.manifest
        lines = sum(file.lines for file in manifest.files)
        out = console()
        out.print(f"[bold]{found.archive.name}[/], {manifest.created_at}, {manifest.database}")
        out.print(f"{lines:,} lines as written; {found.signature}")
        for finding in found.audit.failed():
            out.print(f"[bold red]{finding.number} {finding.title}[/]: {finding.reason}")
        verdict = "[bold green]clean[/]" if found.sound else "[bold red]not clean[/]"
        out.print(f"audit of the restored rows: {verdict}")


def _members(found: Checked) -> dict[str, object]:
    manifest = found.manifest
    failed = [finding.document() for finding in found.audit.failed()]
    return {
        "archive": str(found.archive),
        "created_at": manifest.created_at,
        "content_hash": manifest.content_hash,
        "tree_size": manifest.tree_size,
        "totals": manifest.totals,
        "signature": found.signature,
        "audit_failed": failed,
    }
