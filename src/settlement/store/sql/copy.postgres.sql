-- name: copy_columns
SELECT c.relname::text AS table_name, a.attname::text AS column_name,
  CASE format_type(a.atttypid, a.atttypmod)
    WHEN 'bigint' THEN 'whole' WHEN 'integer' THEN 'whole' WHEN 'text' THEN 'text'
    WHEN 'bytea' THEN 'bytes' ELSE format_type(a.atttypid, a.atttypmod) END AS kind,
  coalesce(array_position(i.indkey::int2[], a.attnum), -1) + 1 AS key_position,
  (a.attidentity <> '')::int AS is_identity
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
ORDER BY c.relname::text COLLATE "C", a.attnum;

-- What is deferred may come in any order, and a table's own rows come in one statement.
-- name: copy_parents
SELECT DISTINCT child.relname::text AS child, parent.relname::text AS parent
FROM pg_constraint AS k
JOIN pg_class AS child ON child.oid = k.conrelid
JOIN pg_class AS parent ON parent.oid = k.confrelid
WHERE k.contype = 'f' AND NOT k.condeferred AND k.conrelid <> k.confrelid
  AND child.relnamespace = current_schema()::regnamespace;

-- name: copy_insert
COPY {table} ({columns}) FROM STDIN;

-- The next number is above every one that was loaded.
-- name: copy_identity_reset
SELECT setval(pg_get_serial_sequence('{table}', '{column}'),
  coalesce((SELECT max({column}) FROM {table}), 0) + 1, false);

-- Not in replica mode, which needs a superuser: the owner of a table may switch its own triggers.
-- name: copy_guards_off
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
DO $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT c.oid::regclass AS name FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  LOOP
    EXECUTE 'ALTER TABLE ' || t.name || ' DISABLE TRIGGER USER';
  END LOOP;
END $$;

-- Deferred checks are made now: a table that owes one cannot be altered.
-- name: copy_guards_on
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
DO $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT c.oid::regclass AS name FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  LOOP
    EXECUTE 'ALTER TABLE ' || t.name || ' ENABLE TRIGGER USER';
  END LOOP;
END $$;
