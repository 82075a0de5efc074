-- Figures of /health and /metrics. Every count stops at a limit and goes by a partial index, so that
-- asking costs the same on an old database as on a new one. A list of states is repeated beside the
-- one that is asked for, because SQLite takes a partial index only when the condition of the index
-- stands in the query.

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
  SELECT sent_at FROM effect
  WHERE state IN ('planned', 'sent', 'unknown') AND state = 'unknown' LIMIT :limit) AS counted;

-- name: health_contradictions
SELECT count(*) AS found FROM (
  SELECT 1 FROM inbox
  WHERE status IN ('new', 'contradiction') AND status = 'contradiction' LIMIT :limit) AS counted;

-- name: health_inbox_open
SELECT count(*) AS found FROM (
  SELECT 1 FROM inbox
  WHERE status IN ('new', 'contradiction') AND status = 'new' LIMIT :limit) AS counted;

-- name: health_outbox_parked
SELECT count(*) AS found FROM (
  SELECT 1 FROM outbox WHERE status IN ('pending', 'parked') AND status = 'parked' LIMIT :limit)
  AS counted;

-- name: health_deliveries_due
SELECT count(*) AS found FROM (
  SELECT 1 FROM delivery WHERE status = 'pending' AND due_us <= :now_us LIMIT :limit) AS counted;

-- name: health_ping
SELECT 1 AS alive;

-- name: health_effects_open
SELECT state, count(*) AS found FROM (
  SELECT state FROM effect WHERE state IN ('planned', 'sent', 'unknown') LIMIT :limit) AS counted
GROUP BY state;

-- name: health_intents_open
SELECT count(*) AS found, min(closes_at) AS soonest FROM (
  SELECT closes_at FROM intent WHERE state = 'open' ORDER BY closes_at LIMIT :limit) AS counted;

-- name: health_feed_last
SELECT released_at FROM feed_release ORDER BY epoch DESC LIMIT 1;

-- name: health_head_last
SELECT tree_size, timestamp FROM tree_head ORDER BY tree_size DESC LIMIT 1;
