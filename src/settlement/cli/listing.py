"""`settlement effects` and `settlement jobs`: what is under way with rails, and in the queue.

Does not: change anything. An effect whose outcome is unknown resolves itself by asking.
Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from settlement.cli.output import (
    WIDE,
    console,
    database_option,
    emit,
    json_option,
    notes,
    opened,
    settings_from_environment,
)
from settlement.core.money import Asset, format_exact
from settlement.store import operator

if TYPE_CHECKING:
    from collections.abc import Sequence

_EFFECT_STATES = ("planned", "sent", "unknown", "confirmed", "refused")
_JOB_STATES = ("queued", "leased", "retry", "done", "dead", "cancelled")
_limit = click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most."
)


@click.command()
@click.option("--state", type=click.Choice(_EFFECT_STATES), default=None, help="Only these.")
@_limit
@database_option
@json_option
def effects(*, state: str | None, limit: int, database: str | None, as_json: bool) -> None:
    """List what was asked of rails, newest first."""
    with opened(settings_from_environment(database=database), must_exist=True) as db:
        rows = operator.effects(db, state or "", limit)
    if as_json:
        emit({"ok": True, "effects": rows})
        return
    for row in rows:
        row["amount"] = format_exact(row["amount_minor"], Asset.parse(row["asset"]))
    _show(rows, ("effect_id", "kind", "deal_id", "amount", "state", "rail_ref", "updated_at"))


@click.command()
@click.option("--status", type=click.Choice(_JOB_STATES), default=None, help="Only these.")
@_limit
@database_option
@json_option
def jobs(*, status: str | None, limit: int, database: str | None, as_json: bool) -> None:
    """List queued work, newest first."""
    with opened(settings_from_environment(database=database), must_exist=True) as db:
        rows = operator.jobs(db, status or "", limit)
    if as_json:
        emit({"ok": True, "jobs": rows})
        return
    _show(rows, ("job_id", "job_type", "deal_id", "status", "attempts", "last_error"))


def _show(rows: Sequence[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """A table; ids are cut where the window is narrow, and then a remark says where to look."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if row[name] is None else escape(str(row[name])) for name in columns))
    out = console()
    out.print(table if rows else "Nothing.")
    if rows and out.measure(table, options=out.options.update(width=WIDE)).maximum > out.width:
        notes().print("Cut to fit the window; --json has everything whole.")
