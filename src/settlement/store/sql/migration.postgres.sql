-- SQLite needs no such statement: its one writer holds the database while it migrates.

-- name: migration_lock
SET LOCAL lock_timeout = 0;
SET LOCAL statement_timeout = 0;
SELECT pg_advisory_xact_lock(7254820911630001);
