-- Who has the database open (spec 17.2). SQLite has the kernel's file locks for this.

-- name: presence_share
SELECT pg_try_advisory_lock_shared(7254820911630002) AS mine;

-- name: presence_alone
SELECT pg_try_advisory_lock(7254820911630002) AS mine;
