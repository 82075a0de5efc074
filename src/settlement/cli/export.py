"""`settlement export`: the books as files that spreadsheets, notebooks and beancount read.

Guarantees: one snapshot, beside a running server if there is one; a directory is there whole or not
at all.
Does not: change anything, or export what only its owner may see.
Change colour: green.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from settlement.cli.output import (
    console,
    database_option,
    emit,
    json_option,
    notes,
    opened,
    settings_from_environment,
)
from settlement.core.clock import parse_time
from settlement.service.exports import File, Format
from settlement.service.exports import export as write
from settlement.service.revenue import instant
from settlement.store.export import Span

if TYPE_CHECKING:
    from collections.abc import Callable


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    required=True,
    help="jsonl, csv and parquet: a file per table. beancount: the ledger, with assertions.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/exports"),
    show_default=True,
    help="Where the new directory goes.",
)
@click.option("--since", metavar="TIME", help="From this UTC day or time on (transfers, payouts).")
@click.option("--until", metavar="TIME", help="Before this UTC day or time.")
@database_option
@json_option
def export(
    *,
    form: str,
    out: Path,
    since: str | None,
    until: str | None,
    database: str | None,
    as_json: bool,
) -> None:
    """Write accounts, transfers, settlements, payouts and events to a new directory.

    A beancount file holds the whole ledger; `bean-check FILE` checks it against itself and against
    the balances that the database keeps.
    """
    chosen = Format(form)
    if chosen is Format.BEANCOUNT and (since or until):
        raise click.UsageError("A beancount file is the whole ledger; leave --since and --until.")
    span = Span(start_us=_us(since, "since"), end_us=_us(until, "until"))
    with opened(settings_from_environment(database=database), must_exist=True, migrated=True) as db:
        stamp = db.read(lambda tx: tx.now)
        directory = out / f"export_{stamp[:19].translate(_PLAIN)}Z_{form}"
        try:
            with _progress(quiet=as_json) as turned:
                files = write(db, directory, chosen, span, turned)
        except ImportError as error:
            raise click.UsageError(
                f"Parquet needs the package {error.name}: pip install 'settlement[parquet]'."
            ) from error
    if as_json:
        emit({"ok": True, "directory": str(directory), "files": [_document(one) for one in files]})
        return
    _show(directory, files)


_PLAIN = str.maketrans("", "", "-:")


def _us(text: str | None, field: str) -> int | None:
    return parse_time(instant(text, field)) if text else None


def _document(file: File) -> dict[str, Any]:
    return {"name": file.name, "rows": file.rows, "sha256": file.sha256}


def _progress(*, quiet: bool) -> nullcontext[Callable[[int], None]] | _Bar:
    if quiet or not sys.stderr.isatty():
        return nullcontext(lambda _rows: None)
    return _Bar()


class _Bar:
    """How many rows so far; their number is not known before."""

    def __init__(self) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} rows"),
            TimeElapsedColumn(),
            console=notes(),
            transient=True,
        )
        self._task = self._bar.add_task("export", total=None)

    def __enter__(self) -> Callable[[int], None]:
        self._bar.start()
        return lambda rows: self._bar.advance(self._task, rows)

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()


def _show(directory: Path, files: list[File]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("file", "rows", "sha256"):
        table.add_column(name, justify="right" if name == "rows" else "left")
    for file in files:
        table.add_row(file.name, f"{file.rows:,}", file.sha256)
    out = console()
    out.print(f"{directory}/", markup=False)
    out.print(table)
    if files[0].name.endswith(".beancount"):
        out.print(f"Check it with: bean-check {directory / files[0].name}", markup=False)
