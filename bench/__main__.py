"""`python -m bench [engine|http ...] [--settles N] [--json]`: measure, then one table a figure.

Guarantees: both databases in one run; PostgreSQL is started from a wheel unless
SETTLEMENT_BENCH_POSTGRES_URL names one; everything temporary is removed.
Does not: write figures anywhere; the README quotes a run.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.console import Console
from rich.table import Table

from bench import engine, http
from bench._postgres import postgres_database

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHES = ("engine", "http")


def _run(name: str, settles: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    reports = []
    for kind in ("sqlite", "postgres"):
        with tempfile.TemporaryDirectory(prefix="settlement-bench-") as text:
            directory = Path(text)
            if kind == "sqlite":
                reports.append(
                    _one(name, f"sqlite:///{directory}/bench.db", directory, settles, say)
                )
            else:
                with postgres_database() as url:
                    reports.append(_one(name, url, directory, settles, say))
    return reports


def _one(
    name: str, url: str, directory: Path, settles: int, say: Callable[[str], None]
) -> dict[str, Any]:
    if name == "engine":
        return dict(engine.measure(url, directory, settles=settles, say=say))
    return http.measure(url, directory, settles=settles, say=say)


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
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
def main(names: tuple[str, ...], *, settles: int, as_json: bool) -> None:
    """Measure durable settles a second on SQLite and PostgreSQL, as ratios of one run."""
    progress = Console(stderr=True)
    reports = {}
    with progress.status("starting") as status:
        for name in names or BENCHES:
            reports[name] = _run(name, settles, status.update)
    if as_json:
        click.echo(json.dumps(reports))
        return
    out = Console()
    for name, report in reports.items():
        out.print(_table(name, report))


if __name__ == "__main__":
    main()
