-- Figures of /health. Every count stops at a limit and goes by a partial index, so that asking
-- costs the same on an old database as on a new one.

-- name: health_jobs_ready
SELECT count(*) AS found FROM (
  SELECT 1 FROM job WHERE status IN ('queued', 'retry') LIMIT :limit) AS counted;

-- name: health_jobs_dead
SELECT count(*) AS found FROM (SELECT 1 FROM job WHERE status = 'dead' LIMIT :limit) AS counted;

-- name: health_jobs_leased
SELECT count(*) AS found FROM (SELECT 1 FROM job WHERE status = 'leased' LIMIT :limit) AS counted;

-- name: health_outbox_oldest
SELECT timestamp FROM outbox WHERE status = 'pending' ORDER BY seq LIMIT 1;

-- name: health_effects_unknown
SELECT count(*) AS found, min(sent_at) AS oldest FROM (
  SELECT sent_at FROM effect WHERE state = 'unknown' LIMIT :limit) AS counted;

-- name: health_contradictions
SELECT count(*) AS found FROM (
  SELECT 1 FROM inbox WHERE status = 'contradiction' LIMIT :limit) AS counted;

-- name: health_inbox_open
SELECT count(*) AS found FROM (
  SELECT 1 FROM inbox WHERE status = 'new' LIMIT :limit) AS counted;

-- Both states are named, or SQLite would not see that the index of both serves.
-- name: health_outbox_parked
SELECT count(*) AS found FROM (
  SELECT 1 FROM outbox WHERE status IN ('pending', 'parked') AND status = 'parked' LIMIT :limit)
  AS counted;

-- name: health_deliveries_due
SELECT count(*) AS found FROM (
  SELECT 1 FROM delivery WHERE status = 'pending' AND due_us <= :now_us LIMIT :limit) AS counted;

-- name: health_ping
SELECT 1 AS alive;
