"""Counts the rows of every table, past the store: the witness that a refusal wrote nothing.

Does not: go through our own queries, which could be wrong in the same way.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg

TABLES_SQLITE = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
TABLES_POSTGRES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
PREFIX = "sqlite:///"


def count_rows(url: str) -> dict[str, int]:
    """Rows per table."""
    if url.startswith(PREFIX):
        with closing(sqlite3.connect(url.removeprefix(PREFIX))) as lite:
            names = [row[0] for row in lite.execute(TABLES_SQLITE)]
            return {n: lite.execute(f"SELECT count(*) FROM {n}").fetchone()[0] for n in names}
    with psycopg.connect(url, autocommit=True) as post:
        names = [row[0] for row in post.execute(TABLES_POSTGRES)]
        counted = {}
        for name in names:
            row = post.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
            assert row is not None
            counted[name] = row[0]
        return counted
