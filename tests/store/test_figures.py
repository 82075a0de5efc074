"""Figures cost the same on an old database as on a new one: no query of theirs walks a table."""

from __future__ import annotations

import re

import apsw

from settlement.store.database import open_database
from settlement.store.queries import SQL_DIRECTORY

#: Read from their end, by key, one row.
LAST_ROW = {"feed_release", "tree_head"}


def test_no_figure_walks_a_table(sqlite_url: str) -> None:
    """Broken build: `/health` reads every effect there ever was, ten times a minute."""
    db = open_database(sqlite_url)
    db.migrate()
    db.close()
    text = (SQL_DIRECTORY / "health.sql").read_text("utf-8")
    queries = re.split(r"-- name: (\w+)\n", text)[1:]
    raw = apsw.Connection(sqlite_url.removeprefix("sqlite:///"))
    walks = []
    for name, query in zip(queries[::2], queries[1::2], strict=True):
        steps = raw.execute(f"EXPLAIN QUERY PLAN {query}", {"limit": 10, "now_us": 1})
        for step in steps:
            found = re.fullmatch(r"SCAN (\w+)", str(step[3]))
            if found and found[1] not in LAST_ROW | {"counted", "CONSTANT"}:
                walks.append((name, step[3]))
    assert len(queries) > 20
    assert walks == []
    raw.close()
