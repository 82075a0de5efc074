"""`settlement recover`: check a backup in a scratch place, then put it where the books are.

Exit 0 ok, 1 the backup is not valid, 2 usage, 3 somebody has the database open (spec §17.2).
`--validate` without `--target` only checks, `--dry-run` also whether the place could be had; both
may run beside servers. `--latest-clean` passes over archives that are not valid, and names them.
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
    from collections.abc import Callable

    from settlement.config import Settings
    from settlement.service.restore import Installed
    from settlement.store.replacing import Place

#: A server, a worker or a command has the database open.
EXIT_IN_USE = 3


@click.command()
@click.option("--latest", is_flag=True, help="The newest archive of --out.")
@click.option(
    "--latest-clean", is_flag=True, help="The newest one that is valid: tried from the newest back."
)
@click.option("--file", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where these two look, instead of SETTLEMENT_BACKUP_DIR.",
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
    latest_clean: bool,
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
    archives = _chosen(file, out or settings.backup_dir, latest=latest, clean=latest_clean)
    answer = _Answer(as_json=as_json)
    if validate and target is None:
        return _first_sound(answer, archives, lambda one: _validate(answer, settings, one))
    if not (force or dry_run or sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here: say --force, or --validate to check")
    where = settings if target is None else replace(settings, database=_url(target))
    how = _How(dry_run, force, operator, _moment(lost_since))
    try:
        with place_of(where.database, where.sqlite_path, alone=not dry_run) as place:
            return _first_sound(
                answer, archives, lambda one: _restore(answer, settings, one, place, how)
            )
    except InUse as use:
        return answer.in_use(use.holders)


class _Unsound(Exception):
    """An archive as it was written, but of books that are not right."""

    def __init__(self, found: Checked) -> None:
        super().__init__(found.archive.name)
        self.found = found


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


def _first_sound(answer: _Answer, archives: list[Path], use: Callable[[Path], int]) -> int:
    """Use the first archive that is sound; what is passed over is told."""
    for archive in archives:
        is_last = archive is archives[-1]
        try:
            return use(archive)
        except BackupDamaged as damage:
            if is_last:
                return answer.damaged(damage, _next_older(archive))
            answer.passed_over(archive, damage.detail)
        except _Unsound as unsound:
            if is_last:
                return answer.not_clean(unsound.found, _next_older(archive))
            failed = ", ".join(str(one.number) for one in unsound.found.audit.failed())
            answer.passed_over(archive, f"checks {failed} fail on its rows")
    raise AssertionError("there is an archive: _chosen saw to it")


def _validate(answer: _Answer, settings: Settings, archive: Path) -> int:
    """Only check."""
    keys = known_outside(settings).public_keys
    with watching("checking") as watch, checked(archive, keys, None, watch) as found:
        if not found.sound:
            raise _Unsound(found)
        return answer.checked(found)


def _restore(answer: _Answer, settings: Settings, archive: Path, place: Place, how: _How) -> int:
    # Beside the database only by who has it alone: leavings there are removed.
    beside = place.path if isinstance(place, SqlitePlace) and place.alone else None
    keys = known_outside(settings).public_keys
    with watching("checking") as watch, checked(archive, keys, beside, watch) as found:
        if not found.sound:
            raise _Unsound(found)
        if how.dry_run:
            return answer.would(found, place)
        if not (how.force or place.is_empty()):
            click.confirm(
                f"Move the data aside that is there, and restore {found.manifest.created_at}?",
                abort=True,
                err=True,
            )
        done = install(found, place, how.operator, how.lost_since)
    return answer.installed(found, done, rights_are_new=_has_new_rights(place, done))


def _has_new_rights(place: Place, done: Installed) -> bool:
    """Whether roles have no rights yet: those of the old tables, if any, were carried over."""
    return place.kind == "postgres" and done.kept is None


def _chosen(file: Path | None, out: Path, *, latest: bool, clean: bool) -> list[Path]:
    """The archives to try, in this order; one, unless those that are not valid are passed over."""
    if [file is not None, latest, clean].count(True) != 1:
        raise click.UsageError("name one archive: --latest, --latest-clean or --file")
    if file is not None:
        return [file]
    found = archives_in(out)[::-1]
    if not found:
        raise click.UsageError(f"there is no archive in {out}")
    return found if clean else found[:1]


def _next_older(archive: Path) -> Path | None:
    """The archive before this one, in the same directory."""
    older = [one for one in archives_in(archive.parent) if one.name < archive.name]
    return older[-1] if older else None


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
        self._passed: list[dict[str, str]] = []

    def passed_over(self, archive: Path, reason: str) -> None:
        """One that --latest-clean does not take."""
        self._passed.append({"archive": str(archive), "reason": reason})
        notes().print(f"{archive.name} is passed over: {reason}", markup=False)

    def checked(self, found: Checked) -> int:
        """What a check found: all is well."""
        if self._as_json:
            emit({"ok": True, **self._members(found)})
        else:
            self._lines(found)
        return EXIT_OK

    def not_clean(self, found: Checked, older: Path | None) -> int:
        """What a check found: its books are not right. And what to try next."""
        if self._as_json:
            next_older = None if older is None else str(older)
            emit({"ok": False, **self._members(found), "next_older": next_older})
        else:
            self._lines(found)
            console().print(_next_step(older), markup=False)
        return EXIT_NO

    def would(self, found: Checked, place: Place) -> int:
        """What a recovery would do."""
        holders = place.holders()
        if self._as_json:
            emit({"ok": True, **self._members(found), "open_in": list(holders)})
            return EXIT_OK
        self._lines(found)
        moved = (
            "nothing is there to move aside" if place.is_empty() else "what is there moves aside"
        )
        console().print(f"It would be restored; {moved}. Nothing was changed.")
        if holders:
            console().print(f"First stop what has the database open: {', '.join(holders)}.")
        return EXIT_OK

    def installed(self, found: Checked, done: Installed, *, rights_are_new: bool) -> int:
        """Restored."""
        if self._as_json:
            made = {"recovery_epoch": done.epoch, "kept": done.kept}
            emit({"ok": True, **self._members(found), **made})
            return EXIT_OK
        self._lines(found)
        console().print(f"[bold green]restored[/], recovery epoch {done.epoch}")
        if done.kept is not None:
            console().print(f"The old data is kept: {done.kept}")
        if rights_are_new:
            console().print(
                "Nothing was there, so only you may read it: where servers use roles, run"
                " deploy/postgres/roles.sql as the owner before they start."
            )
        console().print(
            "Next: `settlement accept-gap` if the log is behind its checkpoint, then"
            " `settlement reconcile`; until then rails are parked and deliveries held."
        )
        return EXIT_OK

    def in_use(self, holders: tuple[str, ...]) -> int:
        """Somebody has it open."""
        who = f" ({', '.join(holders)})" if holders else ""
        said = (
            f"The database is open in another process{who}: a server, a worker or a command."
            " Stop it, then run this again."
        )
        return self._refused("database_in_use", said, EXIT_IN_USE, open_in=list(holders))

    def damaged(self, damage: BackupDamaged, older: Path | None) -> int:
        """The archive is not what was written."""
        said = f"{damage.detail} {_next_step(older)}"
        next_older = None if older is None else str(older)
        members = {**damage.members(), "next_older": next_older}
        return self._refused(damage.code, said, EXIT_NO, **members)

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

    def _members(self, found: Checked) -> dict[str, object]:
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
            "passed_over": self._passed,
        }


def _next_step(older: Path | None) -> str:
    if older is None:
        return "There is no older archive beside it."
    return (
        f"Try the next older: `settlement recover --file {older} --validate`."
        " Or let --latest-clean go back until one is valid."
    )
