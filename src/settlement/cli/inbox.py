"""`settlement inbox`: what rails told us and nobody could apply, and putting it aside.

Guarantees: no list shows what a message says; a contradiction counts on `/health` until somebody
has dismissed it with a reason, which stays on record.
Does not: apply anything. `settlement jobs requeue` has a message applied again whose job is dead.

Spec §10.1. Change colour: green.
"""

from __future__ import annotations

from typing import Any

import rich_click as click

from settlement.cli.listing import show, told
from settlement.cli.output import (
    console,
    database_option,
    emit,
    json_option,
    opened,
    settings_from_environment,
)
from settlement.cli.pause import operator_name
from settlement.service.inbox_dismiss import dismiss as put_aside
from settlement.store import operator

_STATES = ("contradiction", "new", "applied", "ignored")
_WAITS = {"contradiction": "an operator (settlement inbox dismiss)", "new": "a worker, or its job"}


@click.group(invoke_without_command=True)
@click.option(
    "--state",
    type=click.Choice(_STATES),
    default="contradiction",
    show_default=True,
    help="Only these.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most."
)
@database_option
@json_option
@click.pass_context
def inbox(
    context: click.Context, *, state: str, limit: int, database: str | None, as_json: bool
) -> None:
    """List messages of rails, newest first."""
    if context.invoked_subcommand is not None:
        return
    with opened(settings_from_environment(database=database), must_exist=True) as db:
        rows = told(operator.inbox(db, state, limit), _waits)
    if as_json:
        emit({"ok": True, "inbox": rows})
        return
    show(rows, ("event_id", "source", "status", "age_seconds", "waiting_for", "note"))


@inbox.command()
@click.argument("event_id")
@click.option("--reason", required=True, help="Why; stays on record.")
@click.option("--operator", "by", default=None, help="Who does it; else the system's user.")
@database_option
@json_option
def dismiss(
    *, event_id: str, reason: str, by: str | None, database: str | None, as_json: bool
) -> None:
    """Put a contradiction aside, once you know how it came about."""
    settings = settings_from_environment(database=database)
    with opened(settings, must_exist=True, migrated=True) as db:
        done = put_aside(db, event_id, reason=reason, operator=operator_name(by))
    if as_json:
        emit({"ok": True, "event_id": event_id, "changed": done})
        return
    console().print(f"{event_id} is put aside." if done else f"{event_id} is no contradiction.")


def _waits(row: dict[str, Any], _lease_us: int) -> str | None:
    return _WAITS.get(row["status"])
