"""Counts the rows of every table, past the store: the witness that a refusal wrote nothing.

Does not: go through our own queries, which could be wrong in the same way.
"""

from __future__ import annotations

from typing import Any

from tests.support.raw import TABLES, open_raw

#: That a caller called is no trace of what it asked for; tests/*/test_limits.py look at these.
_COUNTS = frozenset({"rate_limit"})


def count_rows(url: str) -> dict[str, int]:
    """Rows per table."""
    with open_raw(url) as raw:
        names = [name for (name,) in raw.rows(TABLES[raw.kind]) if name not in _COUNTS]
        return {name: raw.rows(f"SELECT count(*) FROM {name}")[0][0] for name in names}


def read_rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with open_raw(url) as raw:
        return [tuple(row) for row in raw.rows(query)]
