"""`settlement settings`: every setting with its value, default and meaning.

Also makes docs/settings.md, so that the page cannot drift from the table in `config/`.
Does not: check that the values work (`settlement doctor` does) or show secrets.
Change colour: green.
"""

from __future__ import annotations

import os

import rich_click as click
from rich.markup import escape
from rich.table import Column, Table

from settlement.cli.output import console, emit, json_option, settings_from_environment
from settlement.config import describe

_HEAD = """# Settings

Read from the environment when a command starts. An empty variable counts as unset; an unknown
SETTLEMENT_ name is remarked on with the name it may have meant. Made by `settlement settings
--markdown` from the table in `src/settlement/config/`.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """The text of docs/settings.md."""
    rows = (
        f"| `{row['name']}` | {'`' + row['default'] + '`' if row['default'] else ''} "
        f"| {row['meaning']} |\n"
        for row in describe()
    )
    return _HEAD + "".join(rows)


@click.command()
@json_option
@click.option("--markdown", is_flag=True, help="Print docs/settings.md.")
def settings(*, as_json: bool, markdown: bool) -> None:
    """List every setting: its value here, its default and what it means."""
    if markdown:
        click.echo(page(), nl=False)
        return
    rows = describe(settings_from_environment())
    if as_json:
        emit({"ok": True, "settings": rows})
        return
    table = Table(Column("variable", no_wrap=True), Column("value", overflow="fold"), "meaning")
    for row in rows:
        mark = "bold" if os.environ.get(row["name"]) else "dim"
        value = row["value"] or "(empty)"
        table.add_row(row["name"], f"[{mark}]{escape(value)}[/]", row["meaning"].replace("`", ""))
    console().print(table)
