-- Migrating, where it differs from SQLite.

-- SQLite needs no such statement: its one writer holds the database while it migrates.
-- name: migration_lock
SET LOCAL lock_timeout = 0;
SET LOCAL statement_timeout = 0;
SELECT pg_advisory_xact_lock(7254820911630001);

-- By the catalogue, which every role may read: to a role without rights in the schema the table
-- would look as if it were not there, and it has no current schema either.
-- name: migration_table_there
SELECT count(*) AS there FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = coalesce(current_schema(), 'public') AND c.relkind = 'r'
  AND c.relname = 'schema_migration';
