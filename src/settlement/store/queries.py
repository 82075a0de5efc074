"""Named queries from `sql/*.sql`, read once per database kind.

A file holds blocks that start with `-- name: noun_verb`; comments and statement follow. A block in
`<noun>.sqlite.sql` or `<noun>.postgres.sql` stands in for one of that name in `<noun>.sql`.
Parameters are written `:name`; for PostgreSQL they are rewritten to the driver's style.
Does not: know drivers, or build SQL from values.
Change colour: amber.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

SQL_DIRECTORY = Path(__file__).parent / "sql"
KINDS = ("sqlite", "postgres")

_NAME = re.compile(r"^-- name: (\S+)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"'(?:[^']|'')*'|--[^\n]*")
_PARAMETER = re.compile(r"('(?:[^']|'')*'|::)|:([a-z_][a-z0-9_]*)")


@cache
def load_queries(kind: str) -> dict[str, str]:
    """Every query of a database kind by name, in the style of its driver."""
    found: dict[str, str] = {}
    shared = [path for path in SQL_DIRECTORY.glob("*.sql") if path.name.count(".") == 1]
    for path in [*sorted(shared), *sorted(SQL_DIRECTORY.glob(f"*.{kind}.sql"))]:
        found.update(parse_queries(path.read_text("utf-8")))
    return found if kind == "sqlite" else {n: to_psycopg(text) for n, text in found.items()}


def parse_queries(text: str) -> dict[str, str]:
    """Name and statement of each block, without comments."""
    parts = _NAME.split(text)
    bodies = (_COMMENT.sub(_keep_literal, body) for body in parts[2::2])
    return {
        name: "\n".join(line.rstrip() for line in body.splitlines() if line.strip()).rstrip(";")
        for name, body in zip(parts[1::2], bodies, strict=True)
    }


def to_psycopg(text: str) -> str:
    """`:name` as `%(name)s`; literals, casts and percent signs keep their meaning."""
    return _PARAMETER.sub(_to_percent, text.replace("%", "%%"))


def _keep_literal(match: re.Match[str]) -> str:
    return "" if match.group().startswith("--") else match.group()


def _to_percent(match: re.Match[str]) -> str:
    return match.group(1) or f"%({match.group(2)})s"
