"""A database's schema as text: for the committed dumps, and to compare the two databases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.raw import Raw

SQLITE = """
SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
ORDER BY tbl_name, type, name
"""
POSTGRES = (
    """
SELECT format('column %s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.attnotnull THEN 'not null' ELSE 'null' END,
  coalesce(pg_get_expr(d.adbin, d.adrelid), ''))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
ORDER BY c.relname, a.attnum
""",
    """
SELECT format('constraint %s %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.connamespace = 'public'::regnamespace AND k.contype <> 'n' ORDER BY c.relname, k.conname
""",
    """
SELECT 'index ' || pg_get_indexdef(i.indexrelid) FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace
ORDER BY c.relname
""",
    """
SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal ORDER BY c.relname, t.tgname
""",
    """
SELECT 'function ' || pg_get_functiondef(p.oid) FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace ORDER BY p.proname
""",
)
COLUMNS = {
    "sqlite": """
SELECT t.name, c.name, CASE c.type WHEN 'INTEGER' THEN 'whole' ELSE 'text' END,
  c."notnull" = 1 OR c.pk > 0
FROM sqlite_schema t, pragma_table_info(t.name) c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid
""",
    "postgres": """
SELECT table_name, column_name, CASE data_type WHEN 'text' THEN 'text' ELSE 'whole' END,
  CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END
FROM information_schema.columns WHERE table_schema = 'public'
ORDER BY table_name COLLATE "C", ordinal_position
""",
}
UNIQUE = {
    "sqlite": """
SELECT t.name, group_concat(c.name, ', ' ORDER BY c.seqno)
FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
WHERE t.type = 'table' AND i."unique" = 1 GROUP BY t.name, i.name
UNION
SELECT t.name, group_concat(c.name, ', ') FROM sqlite_schema t, pragma_table_info(t.name) c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND c.pk > 0 GROUP BY t.name
HAVING count(*) = 1
""",
    "postgres": """
SELECT c.relname, string_agg(a.attname, ', ' ORDER BY k.n)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
CROSS JOIN unnest(i.indkey::int[]) WITH ORDINALITY AS k (attnum, n)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace GROUP BY c.relname, i.indexrelid
""",
}


def dump(raw: Raw) -> str:
    """The whole schema as the database tells it."""
    queries = (SQLITE,) if raw.kind == "sqlite" else POSTGRES
    lines = [str(row[0]).rstrip() for query in queries for row in raw.rows(query)]
    return "\n".join(lines) + "\n"


def columns(raw: Raw) -> list[tuple[str, str, str, int]]:
    """Table, column, kind and whether it must have a value, in order."""
    return [(t, c, k, int(n)) for t, c, k, n in raw.rows(COLUMNS[raw.kind])]


def unique_keys(raw: Raw) -> set[tuple[str, str]]:
    """Table and columns of everything unique."""
    return {(table, names) for table, names in raw.rows(UNIQUE[raw.kind])}


def parameters(text: str, kind: str) -> list[str]:
    """Names of a statement's parameters in order of first appearance."""
    name = "([a-z_][a-z0-9_]*)"
    pattern = f":{name}" if kind == "sqlite" else rf"%\({name}\)s"
    return list(dict.fromkeys(re.findall(pattern, text)))
