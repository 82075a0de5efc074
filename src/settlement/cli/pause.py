"""`settlement pause` and `settlement resume`: stop a part of the service, and let it go on.

Guarantees: a switch is changed with a reason and a name, which stay on record; without a switch
`pause` lists them. What was taken in before goes on: open effects are asked about.
Does not: need a running server. Servers and workers read the switch with their next batch.

Spec §17.3. Change colour: green.
"""

from __future__ import annotations

import getpass
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape
from rich.table import Table

from settlement.cli.output import (
    console,
    database_option,
    emit,
    json_option,
    opened,
    settings_from_environment,
)
from settlement.service import pauses
from settlement.store.pauses import PauseRow, Switch, read_pauses

if TYPE_CHECKING:
    from settlement.store.database import Database

_switches = click.Choice([switch.value for switch in Switch])
_operator = click.option(
    "--operator", default=None, help="Who does it; the name of the system's user if left out."
)


@click.command()
@click.argument("switch", type=_switches, required=False)
@click.option("--reason", default=None, help="Why; stays on record.")
@_operator
@database_option
@json_option
def pause(
    *,
    switch: str | None,
    reason: str | None,
    operator: str | None,
    database: str | None,
    as_json: bool,
) -> None:
    """Stop new work of one kind; without a SWITCH list what is paused."""
    if switch is not None and reason is None:
        raise click.UsageError("say why, with --reason")
    settings = settings_from_environment(database=database)
    with opened(settings, must_exist=True, migrated=True) as db:
        if switch is None or reason is None:
            _list(db, as_json=as_json)
        else:
            _turn(db, Switch(switch), paused=True, reason=reason, by=operator, as_json=as_json)


@click.command()
@click.argument("switch", type=_switches)
@click.option("--reason", required=True, help="Why; stays on record.")
@_operator
@database_option
@json_option
def resume(
    *, switch: str, reason: str, operator: str | None, database: str | None, as_json: bool
) -> None:
    """Let work of one kind go on."""
    settings = settings_from_environment(database=database)
    with opened(settings, must_exist=True, migrated=True) as db:
        _turn(db, Switch(switch), paused=False, reason=reason, by=operator, as_json=as_json)


def operator_name(given: str | None) -> str:
    """Who acts: the name given, else the system's user."""
    try:
        return given or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return f"uid:{os.getuid()}"


def _turn(
    db: Database, switch: Switch, *, paused: bool, reason: str, by: str | None, as_json: bool
) -> None:
    changed = pauses.change(db, switch, paused=paused, reason=reason, operator=operator_name(by))
    now = db.read(read_pauses)
    on = now.on
    since = next((row.since for row in now.rows if row.switch == switch.value), None)
    if as_json:
        told = {"switch": switch.value, "changed": changed, "since": since, "paused": list(on)}
        emit({"ok": True, **told})
        return
    state = "paused" if paused else "running"
    if changed:
        console().print(f"{switch.value} is {state}.")
    else:
        always = "and never was paused" if since is None else f"since {since}"
        console().print(f"Nothing done: {switch.value} is already {state}, {always}.")
    if not paused and Switch.ALL.value in on:
        console().print("`all` is still paused, so it waits.")


def _list(db: Database, *, as_json: bool) -> None:
    rows = {row.switch: row for row in db.read(read_pauses).rows}
    if as_json:
        switches = [_member(name.value, rows.get(name.value)) for name in Switch]
        emit({"ok": True, "switches": switches})
        return
    table = Table("switch", "state", "since", "operator", "reason")
    for name in Switch:
        row = rows.get(name.value)
        if row is None:
            table.add_row(name.value, "running", "", "", "")
        else:
            state = "paused" if row.paused else "running"
            table.add_row(name.value, state, row.since, escape(row.operator), escape(row.reason))
    console().print(table)


def _member(name: str, row: PauseRow | None) -> dict[str, object]:
    if row is None:
        return {"switch": name, "paused": False, "operator": None, "reason": None, "since": None}
    return asdict(row)
