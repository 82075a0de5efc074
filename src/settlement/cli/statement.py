"""`settlement statement AGENT`: an agent's account over a period, to read, print or load.

Guarantees: what is written is the statement that the books remember under its id; made again at its
tree head it is the same to the byte. The HTML stands alone and prints on A4 or letter.
Does not: send it to anybody.
Change colour: green.
"""

from __future__ import annotations

import csv
import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click
from rich.table import Table

from settlement.cli.output import (
    console,
    database_option,
    emit,
    json_option,
    opened,
    settings_from_environment,
)
from settlement.service.revenue import instant
from settlement.service.statements import FIRST_TIME, make_statement

if TYPE_CHECKING:
    from settlement.service.statements import Statement

_TITLES: Final = {
    "booked_at": "Booked",
    "entry_type": "What",
    "deal_id": "Deal",
    "counterparty": "With",
    "debit": "Out",
    "credit": "In",
    "balance": "Balance",
}
_RIGHT: Final = frozenset({"debit", "credit", "balance"})


@click.command()
@click.argument("agent_id")
@click.option(
    "--period",
    nargs=2,
    metavar="FROM TO",
    help="UTC days or times, FROM included, TO not. Default: everything up to the last tree head.",
)
@click.option("--asset", default=None, help="Default: SETTLEMENT_DEFAULT_ASSET.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file: .html to print, .csv for a spreadsheet.",
)
@database_option
@json_option
def statement(
    *,
    agent_id: str,
    period: tuple[str, str] | None,
    asset: str | None,
    out: Path | None,
    database: str | None,
    as_json: bool,
) -> None:
    """Write what stood, moved and stands on an agent's account, up to a signed tree head."""
    settings = settings_from_environment(database=database)
    if out is not None and out.suffix not in _FORMS:
        raise click.UsageError(f"{out} is neither a .html nor a .csv file.")
    if out is not None and not out.parent.is_dir():
        raise click.UsageError(f"there is no directory {out.parent}")
    since, until = period or ("", "")
    with opened(settings, must_exist=True, migrated=True) as db:
        made = make_statement(
            db,
            agent_id,
            asset or settings.default_asset,
            instant(since, "since"),
            instant(until, "until"),
        )
    if out is not None:
        out.write_text(_FORMS[out.suffix](made), "utf-8")
    if as_json:
        whole = {"statement_id": made.statement_id, "digest": made.digest}
        emit({"ok": True, **whole, **made.document, "file": str(out) if out else None})
    elif out is not None:
        console().print(f"{out}: {_head_line(made)}", markup=False)
    else:
        _show(made)


def _csv(made: Statement) -> str:
    """RFC 4180: the movements between two lines with the balances."""
    document = made.document
    text = io.StringIO()
    rows = csv.DictWriter(text, list(_TITLES), extrasaction="ignore")
    rows.writeheader()
    period = document["period"]
    rows.writerow(_balance_row("opening_balance", _start(period, ""), document))
    rows.writerows(document["entries"])
    rows.writerow(_balance_row("closing_balance", period["to"], document))
    return text.getvalue()


def _start(period: dict[str, str], beginning: str) -> str:
    """When the period starts; one without a start begins with the account, not in 1970."""
    return beginning if period["from"] == FIRST_TIME else period["from"]


def _balance_row(name: str, at: str, document: dict[str, Any]) -> dict[str, str]:
    return {"booked_at": at, "entry_type": name, "balance": document[name]}


def _show(made: Statement) -> None:
    document = made.document
    table = Table(*_TITLES.values(), caption=_head_line(made))
    for column, name in zip(table.columns, _TITLES, strict=True):
        column.justify = "right" if name in _RIGHT else "left"
    table.add_row(
        _start(document["period"], "before all"),
        "opening balance",
        *[""] * 4,
        document["opening_balance"],
    )
    for line in document["entries"]:
        table.add_row(*(line[name] for name in _TITLES))
    table.add_row(
        document["period"]["to"], "closing balance", *[""] * 4, document["closing_balance"]
    )
    console().print(table)


def _head_line(made: Statement) -> str:
    log = made.document["log"]
    return f"{made.statement_id}, at tree size {log['tree_size']}, digest {made.digest}"


_STYLE: Final = """
@page { margin: 18mm; }
body { font: 10pt/1.4 system-ui, sans-serif; color: #111; max-width: 60rem; margin: 2rem auto; }
h1 { font-size: 16pt; margin: 0 0 .2em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1.5em; }
dt { color: #555; } dd { margin: 0; }
table { border-collapse: collapse; width: 100%; margin-top: 1.5em; font-size: 8.5pt; }
th, td { text-align: left; padding: .3em .6em .3em 0; border-bottom: 1px solid #ddd; }
td { overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
thead { display: table-header-group; } tr { break-inside: avoid; }
footer { margin-top: 2em; color: #555; font-size: 8pt; overflow-wrap: anywhere; }
"""


def _html(made: Statement) -> str:
    """A page without scripts or anything from outside."""
    document = made.document
    period, log = document["period"], document["log"]
    facts = {
        "Agent": document["agent_id"],
        "Account": document["account"],
        "Period": f"{_start(period, 'the beginning')} to {period['to']}",
        "Currency": f"{document['currency']} ({document['asset']})",
        "Opening balance": document["opening_balance"],
        "Out": document["debits"],
        "In": document["credits"],
        "Closing balance": document["closing_balance"],
    }
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>\n" for k, v in facts.items())
    heads = "".join(_cell("th", name, title) for name, title in _TITLES.items())
    lines = "".join(
        "<tr>" + "".join(_cell("td", name, line[name]) for name in _TITLES) + "</tr>\n"
        for line in document["entries"]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>Statement {escape(made.statement_id)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><h1>Statement</h1>\n<dl>\n{listed}</dl>\n"
        f"<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}</tbody></table>\n"
        f"<footer>{escape(made.statement_id)}. Covered by log {escape(log['log_id'])} at tree size"
        f" {log['tree_size']}, root {escape(log['root_hash'])}. SHA-256 {made.digest}.</footer>\n"
        "</body></html>\n"
    )


def _cell(tag: str, name: str, text: str) -> str:
    marked = ' class="n"' if name in _RIGHT else ""
    return f"<{tag}{marked}>{escape(text)}</{tag}>"


_FORMS: Final = {".html": _html, ".csv": _csv}
