"""`settlement backup`: one snapshot of everything as an archive; or, with --validate-only, no
archive but a check of the live data and of the newest archive there is.

Exit 0, or 1 when the audit or an archive is not right. May run beside servers.
Does not: hold up anybody who writes.

Spec §17.1. Change colour: green.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.progress import BarColumn, Progress, TextColumn

from settlement.cli.audit import known_outside
from settlement.cli.output import (
    EXIT_NO,
    EXIT_OK,
    console,
    database_option,
    emit,
    json_option,
    notes,
    opened,
    settings_from_environment,
)
from settlement.core.errors import DatabaseUnavailable
from settlement.service.archive import archives_in
from settlement.service.audit import run_audit
from settlement.service.backup import QUIET, BackupPlan, take_backup
from settlement.service.backup import Progress as Watch
from settlement.service.restore import check_lines
from settlement.signing import Ed25519FileSigner
from settlement.store import operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settlement.config import Settings
    from settlement.signing import Signer


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), help="Instead of SETTLEMENT_BACKUP_DIR, var/backups."
)
@click.option(
    "--keep",
    type=click.IntRange(1, 100_000),
    default=14,
    show_default=True,
    help="Archives that stay; older ones are removed when the new one is there.",
)
@click.option("--label", default="", help="A word on what it is for; kept in its manifest.")
@click.option(
    "--validate-only", is_flag=True, help="Audit the live data, check the newest archive; no more."
)
@database_option
@json_option
def backup(  # one parameter per option
    *,
    out: Path | None,
    keep: int,
    label: str,
    validate_only: bool,
    database: str | None,
    as_json: bool,
) -> int:
    """Back up the whole database, or only validate what is there."""
    settings = settings_from_environment(database=database)
    out = out or settings.backup_dir
    if validate_only:
        return _validate(settings, out, as_json=as_json)
    plan = BackupPlan(out=out, keep=keep, label=label)
    with opened(settings, must_exist=True, migrated=True) as db, watching("backup") as watch:
        taken = take_backup(db, plan, log_signer(settings), watch)
    manifest = taken.manifest
    if as_json:
        emit(
            {
                "ok": True,
                "archive": str(taken.path),
                "sha256": taken.sha256,
                "rows": taken.rows,
                "content_hash": manifest.content_hash,
                "created_at": manifest.created_at,
                "tree_size": manifest.tree_size,
                "totals": manifest.totals,
                "signed": manifest.signature is not None,
                "removed": taken.removed,
            }
        )
        return EXIT_OK
    console().print(f"[bold]{taken.path}[/]")
    console().print(
        f"{taken.rows:,} rows, log of {manifest.tree_size:,}, as of {manifest.created_at}"
    )
    for name in taken.removed:
        console().print(f"[dim]removed {name}[/]")
    return EXIT_OK


def _validate(settings: Settings, out: Path, *, as_json: bool) -> int:
    context = known_outside(settings)
    with opened(settings, must_exist=True, migrated=True) as db:
        if (damage := operator.damage(db)) is not None:
            raise DatabaseUnavailable(reason=damage)
        report = run_audit(db, context)
    newest = next(reversed(archives_in(out)), None)
    manifest = None
    if newest is not None:
        with watching("archive") as watch:
            manifest = check_lines(newest, context.public_keys, watch)
    if as_json:
        emit(
            {
                "ok": report.clean,
                "audit": report.document(),
                "archive": None if newest is None else str(newest),
                "content_hash": None if manifest is None else manifest.content_hash,
            }
        )
        return EXIT_OK if report.clean else EXIT_NO
    for finding in report.failed():
        console().print(f"[bold red]{finding.number} {finding.title}[/]: {finding.reason}")
    console().print("live data: " + ("clean" if report.clean else "[bold red]not clean[/]"))
    if newest is None or manifest is None:
        console().print(f"archives: none in {out} yet")
    else:
        lines = sum(file.lines for file in manifest.files)
        console().print(f"{newest.name}: {lines:,} lines as written, {manifest.created_at}")
    return EXIT_OK if report.clean else EXIT_NO


def log_signer(settings: Settings) -> Signer | None:
    """The log's key if this machine has one; a backup never makes one."""
    if not settings.signing_key_file.exists():
        return None
    return Ed25519FileSigner(settings.signing_key_file, settings.log_key_id)


@contextmanager
def watching(what: str) -> Iterator[Watch]:
    """A bar over the rows, where somebody watches."""
    if not sys.stderr.isatty():
        yield QUIET
        return
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
        console=notes(),
        transient=True,
    )
    task = bar.add_task(what, total=1)
    with bar:
        yield Watch(
            total=lambda rows: bar.update(task, total=rows),
            turned=lambda rows: bar.advance(task, rows),
        )
