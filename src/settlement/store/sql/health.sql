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

-- name: health_ping
SELECT 1 AS alive;
