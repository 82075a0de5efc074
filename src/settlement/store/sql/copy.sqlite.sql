-- name: copy_columns
SELECT t.name AS table_name, c.name AS column_name,
  CASE c.type WHEN 'INTEGER' THEN 'whole' WHEN 'TEXT' THEN 'text' WHEN 'BLOB' THEN 'bytes'
    ELSE c.type END AS kind,
  c.pk AS key_position, 0 AS is_identity
FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
WHERE t.type = 'table' AND substr(t.name, 1, 7) <> 'sqlite_' ORDER BY t.name, c.cid;

-- No table needs to come before another: while loading, foreign keys are checked at the commit.
-- name: copy_parents
SELECT name AS child, name AS parent FROM sqlite_schema WHERE type = 'nothing';

-- name: copy_insert
INSERT INTO {table} ({columns}) VALUES ({marks});
