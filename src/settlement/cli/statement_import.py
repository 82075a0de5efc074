"""`settlement statement-import RAIL [FILE]`: take in what a rail says it moved.

Guarantees: without a file the rail itself is asked for its list; a file is taken in whole or not at
all, and each bad row is named with its line. Exit 1 when something has to be looked at.
Does not: compare it with the books; `settlement audit` does (check 32).
Change colour: green.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape

from settlement.cli.output import (
    EXIT_NO,
    EXIT_OK,
    console,
    database_option,
    emit,
    json_option,
    opened,
    settings_from_environment,
)
from settlement.edge.rails import choice
from settlement.edge.rails.simulated import SimulatedRail
from settlement.service.rail_statements import import_list
from settlement.service.revenue import instant
from settlement.service.statement_file import import_file

if TYPE_CHECKING:
    from settlement.config import Settings
    from settlement.service.rail_statements import Imported


@click.command("statement-import")
@click.argument("rail")
@click.argument(
    "file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option(
    "--period",
    nargs=2,
    metavar="FROM TO",
    help="UTC days or times of which the file has everything. Default: its first to its last line.",
)
@database_option
@json_option
def statement_import(
    *,
    rail: str,
    file: Path | None,
    period: tuple[str, str] | None,
    database: str | None,
    as_json: bool,
) -> int:
    """Take in what a rail says it moved, for check 32 of the audit: its list, or a CSV file.

    The file's first line is line_id,kind,asset,amount,rail_ref,occurred_at. kind is charge, refund,
    payout or chargeback; the amount is positive, such as 12.50.
    """
    settings = settings_from_environment(database=database)
    since, until = (instant(text, "period") for text in period or ("", ""))
    if file is None:
        if period:
            raise click.UsageError("--period is of a file; a rail's list goes up to now")
        found = _from_rail(settings, rail)
    else:
        if since > until:
            raise click.UsageError("the period ends before it begins")
        with opened(settings, must_exist=True, migrated=True) as db:
            found = import_file(db, rail, file, since, until)
    done = found.clean and not found.unlisted
    if as_json:
        emit({**found.document(), "ok": done})
    else:
        show_import(found)
    return EXIT_OK if done else EXIT_NO


def _from_rail(settings: Settings, name: str) -> Imported:
    rails = choice.rails(settings)
    try:
        if name not in rails:
            raise click.UsageError(
                f"there is no adapter for {name} here; give a file that its provider exports"
            )
        with opened(settings, must_exist=True, migrated=True) as db:
            return import_list(db, name, rails[name])
    finally:
        for rail in rails.values():
            if isinstance(rail, SimulatedRail):
                rail.close()


def show_import(found: Imported) -> None:
    """For people."""
    out = console()
    name = escape(found.rail)
    if found.unlisted:
        out.print(f"[yellow]{name} has no list[/]: give a file that its provider exports.")
        return
    if found.silent is not None:
        out.print(f"[bold red]no answer[/]: {name}, {escape(found.silent)}")
        return
    for problem in found.problems:
        where = f"line {problem['line']}: " if "line" in problem else ""
        out.print(f"[bold red]wrong[/]: {where}{escape(str(problem['why']))}")
    for one in found.contradictions:
        text = f"{one['line_id']} is kept as {one['kept']}, and now it is {one['says_now']}"
        out.print(f"[bold red]contradiction[/]: {escape(text)}")
    if found.kept:
        out.print(
            f"{name}: {found.new} new lines, {found.known} known,"
            f" from {found.starts_at} to {found.ends_at}"
        )
    else:
        out.print("Nothing was taken in.")
