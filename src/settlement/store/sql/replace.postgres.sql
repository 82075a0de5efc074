-- The old data is moved aside in the transaction that brings the new: either all of it or nothing.
-- Tables take their indexes, triggers and sequences along.

-- name: replace_move_aside
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
CREATE SCHEMA {aside};
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN SELECT c.oid::regclass AS name FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  LOOP
    EXECUTE 'ALTER TABLE ' || found.name || ' SET SCHEMA {aside}';
  END LOOP;
  FOR found IN SELECT p.oid::regprocedure AS name FROM pg_proc AS p
    WHERE p.pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
  LOOP
    EXECUTE 'ALTER FUNCTION ' || found.name || ' SET SCHEMA {aside}';
  END LOOP;
END $$;

-- name: replace_tables_there
SELECT count(*) FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r';
