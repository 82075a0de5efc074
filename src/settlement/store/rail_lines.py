"""Keeps what rails say they moved: statements and their lines.

For: `service/rail_statements.py`; the audit reads the same rows by queries of its own.
Guarantees: rows are added and never changed; a line that is there stays as it is.
Does not: compare a line with the books.
Change colour: green.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from settlement.core.rail_lines import RailLine, RailStatement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Tx


def lines_of(tx: Tx, rail: str, line_ids: Sequence[str]) -> dict[str, RailLine]:
    """The lines of a rail that have these ids, by id."""
    rows = tx.all("rail_line_of_ids", rail=rail, ids=list(line_ids))
    return {row["line_id"]: RailLine(**row) for row in rows}


def add_lines(tx: Tx, rail: str, statement_id: str, lines: Sequence[RailLine]) -> None:
    """Add lines; one that another import has added meanwhile stays as it is."""
    if lines:
        whose = {"rail": rail, "statement_id": statement_id}
        tx.many("rail_line_add", [{**whose, **asdict(line)} for line in lines])


def add_statement(tx: Tx, statement: RailStatement) -> None:
    """Note an import."""
    tx.run("rail_statement_add", **asdict(statement))


def same_statement(tx: Tx, statement: RailStatement) -> str | None:
    """The id of an import with the same lines of the same time, if there was one."""
    row = tx.maybe(
        "rail_statement_same",
        rail=statement.rail,
        source=statement.source,
        starts_at=statement.starts_at,
        ends_at=statement.ends_at,
        digest=statement.digest,
    )
    return None if row is None else str(row["statement_id"])


def last_end(tx: Tx, rail: str, source: str) -> str | None:
    """Up to when a source has covered a rail; None when nothing came from it."""
    row = tx.one("rail_statement_last", rail=rail, source=source)
    return None if row["ends_at"] is None else str(row["ends_at"])


def rail_is_known(tx: Tx, rail: str) -> bool:
    """Whether money was ever booked over a rail."""
    return tx.maybe("rail_statement_rail", ref=f"clearing:{rail}") is not None
