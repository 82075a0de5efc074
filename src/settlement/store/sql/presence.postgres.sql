-- Who has the database open (spec 17.2). SQLite has the kernel's file locks for this.

-- name: presence_share
SELECT pg_try_advisory_lock_shared(7254820911630002) AS mine;

-- name: presence_alone
SELECT pg_try_advisory_lock(7254820911630002) AS mine;

-- The lock's number in the two halves that pg_locks shows it in.
-- name: presence_holders
SELECT DISTINCT concat('session ', a.pid, ' of ', a.usename,
  ' from ' || coalesce(host(a.client_addr), 'this machine')) AS holder
FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = (7254820911630002 >> 32)::oid
  AND l.objid = (7254820911630002 & 4294967295)::oid
ORDER BY holder;
