"""`settlement migrate`: bring the database's schema to this release, or tell how far it is.

Migrations go forward only and are remembered with their checksums (`store/migrate.py`).
Does not: create a PostgreSQL database; an SQLite file is made when it is not there.
Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

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
from settlement.store.operator import schema_state

if TYPE_CHECKING:
    from settlement.store.database import Database


@click.command()
@click.option("--status", is_flag=True, help="Only tell; exit 1 when something is missing.")
@database_option
@json_option
def migrate(*, status: bool, database: str | None, as_json: bool) -> int:
    """Apply the missing migrations to the database."""
    settings = settings_from_environment(database=database)
    with opened(settings, must_exist=status) as db:
        return _show_status(db, as_json=as_json) if status else _apply(db, as_json=as_json)


def _apply(db: Database, *, as_json: bool) -> int:
    done = db.migrate()
    if as_json:
        emit({"ok": True, "applied": done})
    elif done:
        console().print(f"Applied {', '.join(done)}.")
    else:
        console().print("The database is up to date.")
    return EXIT_OK


def _show_status(db: Database, *, as_json: bool) -> int:
    state = schema_state(db)
    if as_json:
        emit({"ok": not state.pending, "applied": state.applied, "pending": state.pending})
    else:
        for name in state.applied:
            console().print(f"applied  {name}")
        for name in state.pending:
            console().print(f"[yellow]missing  {name}[/]")
        if state.pending:
            console().print("Run `settlement migrate`.")
    return EXIT_NO if state.pending else EXIT_OK
