"""`python -m bench [engine|http|audit ...]`: measure, then one table a figure.

Guarantees: both databases in one run; PostgreSQL is started from a wheel unless
SETTLEMENT_BENCH_POSTGRES_URL names one; everything temporary is removed.
Does not: write figures anywhere; the README quotes a run.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.console import Console
from rich.table import Table

from bench import audit, engine, http
from bench._postgres import postgres_database

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("sqlite", "postgres")
BENCHES = ("engine", "http", "audit")
#: What runs when nothing is named; filling a database for an audit takes minutes.
QUICK = ("engine", "http")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    settles: int
    transfers: int
    kinds: tuple[str, ...]


def _run(name: str, size: Size, say: Callable[[str], None]) -> list[dict[str, Any]]:
    reports = []
    for kind in size.kinds:
        with tempfile.TemporaryDirectory(prefix="settlement-bench-") as text:
            directory = Path(text)
            if kind == "sqlite":
                reports.append(_one(name, f"sqlite:///{directory}/bench.db", directory, size, say))
            else:
                with postgres_database() as url:
                    reports.append(_one(name, url, directory, size, say))
    return reports


def _one(
    name: str, url: str, directory: Path, size: Size, say: Callable[[str], None]
) -> dict[str, Any]:
    if name == "engine":
        return dict(engine.measure(url, directory, settles=size.settles, say=say))
    if name == "audit":
        return dict(audit.measure(url, directory, transfers=size.transfers, say=say))
    return http.measure(url, directory, settles=size.settles, say=say)


def _table(name: str, reports: list[dict[str, Any]]) -> Table:
    table = Table(title=name)
    table.add_column("figure")
    for report in reports:
        table.add_column(str(report["database"]), justify="right")
    for figure in reports[0]:
        if figure != "database":
            table.add_row(figure, *(f"{report[figure]:,}" for report in reports))
    return table


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(BENCHES))
@click.option("--settles", default=4_000, show_default=True, help="Settles a round.")
@click.option(
    "--transfers", default=100_000, show_default=True, help="In the database that is audited."
)
@click.option("--only", type=click.Choice(KINDS), help="One kind of database.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
def main(
    names: tuple[str, ...], *, settles: int, transfers: int, only: str | None, as_json: bool
) -> None:
    """Measure durable settles a second on SQLite and PostgreSQL, and what an audit takes."""
    size = Size(settles, transfers, (only,) if only else KINDS)
    progress = Console(stderr=True)
    reports = {}
    with progress.status("starting") as status:
        for name in names or QUICK:
            reports[name] = _run(name, size, status.update)
    if as_json:
        click.echo(json.dumps(reports))
        return
    out = Console()
    for name, report in reports.items():
        out.print(_table(name, report))


if __name__ == "__main__":
    main()
