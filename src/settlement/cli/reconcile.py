"""`settlement reconcile` and `settlement accept-gap`: what an operator does after a restore.

Guarantees: both may run beside servers; what they decide is recorded as an event. `reconcile` exits
1 while some rail has not answered about something, and the parking stays.
Does not: restart a server that was read-only; it looks at its checkpoint when it starts.

Spec §17.2. Change colour: amber.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape

from settlement.cli.backup import log_signer
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
from settlement.cli.pause import operator_name
from settlement.cli.statement_import import show_import
from settlement.core.errors import BehindCheckpoint, CheckpointDiverged
from settlement.edge.rails import choice
from settlement.edge.rails.simulated import SimulatedRail
from settlement.service.checkpoint_file import CheckpointFile
from settlement.service.log import LogSettings, Sequencer
from settlement.service.log_steps import look_at_log
from settlement.service.rail_statements import import_lists
from settlement.service.reconcile import reconcile as ask_rails
from settlement.service.recovery import record_gap
from settlement.service.recovery import release_deliveries as release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.config import Settings
    from settlement.service.reconcile import Report
    from settlement.store.database import Database

_operator = click.option(
    "--operator", default=None, help="Who does it; the name of the system's user if left out."
)


@click.command()
@click.option(
    "--release-deliveries", is_flag=True, help="Let webhooks go out again, if all was answered."
)
@click.option(
    "--statements", is_flag=True, help="Also take in what rails' own lists say, for the audit."
)
@_operator
@database_option
@json_option
def reconcile(
    *,
    release_deliveries: bool,
    statements: bool,
    operator: str | None,
    database: str | None,
    as_json: bool,
) -> int:
    """After a restore: ask each rail about every open effect, then let work go on."""
    settings = settings_from_environment(database=database)
    by = operator_name(operator)
    rails = choice.rails(settings)
    try:
        with opened(settings, must_exist=True, migrated=True) as db:
            report = ask_rails(db, rails, by)
            released = release_deliveries and report.complete and release(db, by)
            taken_in = import_lists(db, rails) if statements else []
    finally:
        for rail in rails.values():
            if isinstance(rail, SimulatedRail):
                rail.close()
    if as_json:
        said = {"statements": [one.document() for one in taken_in]} if statements else {}
        emit({**report.document(), "deliveries_released": released, **said})
    else:
        _show(report, released=released)
        for one in taken_in:
            show_import(one)
    return EXIT_OK if report.complete and all(one.clean for one in taken_in) else EXIT_NO


def _show(report: Report, *, released: bool) -> None:
    out = console()
    said = ", ".join(f"{n} {word}" for word, n in sorted(report.asked.items())) or "none open"
    out.print(f"asked about open effects: {said}")
    for title, found in (
        ("[bold red]no answer[/]", report.silent),
        ("[bold red]contradiction[/]", report.contradictions),
        ("[yellow]known to the rail, not to us[/]", report.strangers),
    ):
        for one in found:
            out.print(f"{title}: {escape(_line(one))}")
    for name in report.unlisted:
        since = report.lost_since or "the backup"
        out.print(f"[yellow]{name} has no list[/]: compare its own pages since {since}")
    if not report.complete:
        out.print("Rails stay parked. Run it again when they answer.")
    elif report.unparked:
        out.print("[bold green]Rails are asked to do things again.[/]")
    else:
        out.print("Nothing was parked.")
    if released:
        out.print("Deliveries go out again.")


def _line(one: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in one.items() if value is not None)


@click.command("accept-gap")
@click.option("--reason", required=True, help="Why; its digest is part of the event.")
@click.option("--force", is_flag=True, help="Do not ask.")
@_operator
@database_option
@json_option
def accept_gap(
    *, reason: str, force: bool, operator: str | None, database: str | None, as_json: bool
) -> int:
    """Go on from the log as it is here, although more was once signed and published."""
    settings = settings_from_environment(database=database)
    with opened(settings, must_exist=True, migrated=True) as db:
        gap = _gap(db, settings)
        if gap is None:
            if as_json:
                emit({"ok": True, "gap": None})
            else:
                console().print("The log is not behind its checkpoint; nothing is to be accepted.")
            return EXIT_OK
        if not as_json:
            for name, value in gap.items():
                console().print(f"{name:12} {value}")
        if not force:
            if not sys.stdin.isatty():
                raise click.UsageError("nobody can be asked here: say --force")
            click.confirm("Go on without them, for good?", abort=True, err=True)
        record_gap(
            db,
            promised=int(str(gap["promised"])),
            reached=int(str(gap["reached"])),
            reason=reason,
            operator=operator_name(operator),
        )
        _sequencer(db, settings).accept_gap()
    if as_json:
        emit({"ok": True, "gap": gap})
    else:
        console().print("[bold green]Accepted.[/] Start the server again: it goes on from here.")
    return EXIT_OK


def _sequencer(db: Database, settings: Settings) -> Sequencer:
    known = LogSettings(log_id=settings.log_id, checkpoint_file=settings.checkpoint_file)
    return Sequencer(db, log_signer(settings), known)


def _gap(db: Database, settings: Settings) -> dict[str, object] | None:
    """What was signed and is not here: the leaves from `reached` to before `promised`."""
    promised = CheckpointFile(settings.checkpoint_file).read()
    try:
        behind: BehindCheckpoint | CheckpointDiverged | None = _sequencer(
            db, settings
        ).check_checkpoint()
    except CheckpointDiverged as diverged:
        behind = diverged
    if behind is None or promised is None:
        return None
    look = db.read(look_at_log)
    return {
        "promised": promised.tree_size,
        "signed_at": promised.timestamp,
        "root_hash": promised.root_hash,
        "reached": look.signed_size,
        "reached_at": None if look.last is None else look.last.timestamp,
        "leaves_here": look.size,
        "lost_leaves": max(0, promised.tree_size - look.size),
        "contradicts": isinstance(behind, CheckpointDiverged),
    }
