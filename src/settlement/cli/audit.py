"""`settlement audit`: every numbered check of the specification, on one snapshot, read-only.

Of the books as they are, or of a backup (`--archive`), which is loaded into a scratch database.
`--record` puts the run on record afterwards; `--since-head` goes on from a run on record.
Exit 0 when nothing was found, 1 when a check failed, 2 when the audit could not be made.
Does not: repair anything or need a server; it may run beside one.
Change colour: green.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

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
from settlement.cli.pause import operator_name
from settlement.service import verdict
from settlement.service.audit import CHECKS, SINCE, Status, Watcher, run_audit
from settlement.service.audit_base import AuditContext
from settlement.service.audit_runs import next_since, record_run, report_hash
from settlement.service.backup import Progress
from settlement.service.checkpoint_file import CheckpointFile
from settlement.service.restore import checked
from settlement.signing import Ed25519FileSigner, verify_ed25519

if TYPE_CHECKING:
    from settlement.config import Settings
    from settlement.service.audit import AuditReport
    from settlement.service.audit_base import Check
    from settlement.store.database import Database

_MARKS = {
    Status.OK: "[green]ok[/]",
    Status.FAILED: "[bold red]FAILED[/]",
    Status.SKIPPED: "[dim]skipped[/]",
}


@click.command()
@click.option("--only-failed", is_flag=True, help="Leave out checks that passed or were skipped.")
@click.option(
    "--archive",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Audit this backup instead of the database, as of the moment it was made.",
)
@click.option(
    "--since-head",
    type=click.IntRange(min=1),
    metavar="SIZE",
    help="What can, looks only at what came after this tree head, which was audited before.",
)
@click.option("--record", is_flag=True, help="Put the run on record in the log: the only write.")
@click.option("--operator", default=None, help="Who records it; the system's user if left out.")
@database_option
@json_option
def audit(  # noqa: PLR0913  # one parameter per option
    *,
    only_failed: bool,
    archive: Path | None,
    since_head: int | None,
    record: bool,
    operator: str | None,
    database: str | None,
    as_json: bool,
) -> int:
    """Check the books, the chains and the log: amounts, holds, fees, hashes, tree heads.

    Reads one snapshot, names the first bad row of each check, and exits 1 if there is one.
    """
    if archive is not None and (record or since_head is not None):
        raise click.UsageError("an archive is audited whole, and nothing is written into it")
    settings = settings_from_environment(database=database)
    context = replace(known_outside(settings), since=since_head or 0)
    following: int | None = None
    if archive is not None:
        report = _audit_archive(archive, context)
    else:
        with opened(settings, must_exist=True, migrated=True) as db:
            report = _audit(db, context)
            if record:
                record_run(db, report, operator_name(operator))
                following = next_since(db, report)
    if as_json:
        said = {"report_hash": report_hash(report), "recorded": record, "next_since": following}
        emit({**report.document(), **said})
    else:
        _show(report, only_failed=only_failed)
        if record:
            _tell_next(following)
    if (
        database is None and archive is None
    ):  # of the books that are served, not of a copy somebody looks into
        _leave_verdict(settings, report)
    return EXIT_OK if report.clean else EXIT_NO


def _tell_next(following: int | None) -> None:
    """What the next run may start from: only a clean one covers what it has read."""
    if following is not None:
        console().print(f"On record. The next audit can go on with --since-head {following}.")
    else:
        console().print("On record. Nothing is to go on from: the next audit is a whole one.")


def _audit(db: Database, context: AuditContext) -> AuditReport:
    if not sys.stderr.isatty():
        return run_audit(db, context)
    with _Bar() as bar:
        return run_audit(db, context, bar.watcher())


def _audit_archive(archive: Path, context: AuditContext) -> AuditReport:
    """Every line is compared with the manifest on the way; raises BackupDamaged."""
    if not sys.stderr.isatty():
        with checked(archive, context.public_keys, None) as found:
            return found.audit
    with _Bar() as bar:
        watch = Progress(turned=bar.turned)
        with checked(archive, context.public_keys, None, watch, bar.watcher()) as found:
            return found.audit


def _leave_verdict(settings: Settings, report: AuditReport) -> None:
    """For `/metrics`. Who may read the books need not be able to write beside them."""
    try:
        verdict.leave(settings.audit_file, report)
    except OSError as error:
        why = f"the verdict was not left in {settings.audit_file}: {error.strerror}"
        notes().print(f"[dim]{escape(why)}[/]")


def known_outside(settings: Settings) -> AuditContext:
    """The public key and the last head, which are kept outside the database."""
    keys = {}
    if settings.signing_key_file.exists():
        signer = Ed25519FileSigner(settings.signing_key_file, settings.log_key_id)
        keys[signer.key_id] = signer.public_key
    checkpoint = CheckpointFile(settings.checkpoint_file).read()
    return AuditContext(public_keys=keys, verify=verify_ed25519, checkpoint=checkpoint)


class _Bar:
    """A bar over the checks, and the rows read so far."""

    def __init__(self) -> None:
        self._progress = ProgressBar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            console=notes(),
            transient=True,
        )
        self._task = self._progress.add_task("audit", total=len(CHECKS), rows=0)
        self._rows = 0

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def watcher(self) -> Watcher:
        return Watcher(started=self._started, turned=self.turned)

    def _started(self, check: Check) -> None:
        self._progress.update(
            self._task, advance=1, description=f"{check.number:2} {check.title[:50]:50}"
        )

    def turned(self, rows: int) -> None:
        """Count rows that were read."""
        self._rows += rows
        self._progress.update(self._task, rows=self._rows)


def _show(report: AuditReport, *, only_failed: bool) -> None:
    out = console()
    table = Table("no", "check", "result", "why")
    for finding in report.findings:
        if only_failed and finding.status is not Status.FAILED:
            continue
        why = escape(finding.reason or "")
        mark = _MARKS[finding.status] + (" [dim]since[/]" if finding.scope == SINCE else "")
        table.add_row(str(finding.number), finding.title, mark, why)
    if table.row_count:
        out.print(table)
    for finding in report.failed():
        shown = json.dumps(finding.first_bad, ensure_ascii=False, default=str)
        out.print(f"[bold red]{finding.number}[/] first bad row: {escape(shown)}")
    failed = len(report.failed())
    verdict = f"[bold red]{failed} failed[/]" if failed else "[bold green]clean[/]"
    out.print(f"{verdict}; {sum(report.rows.values()):,} rows; input {report.input_hash[:16]}")
