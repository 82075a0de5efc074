-- name: job_find_by_dedup
SELECT job_id, job_type, deal_id, payload, dedup_key, status, attempts, max_attempts, lost_leases,
  run_at_us, lease_owner, lease_fence, lease_expires_us, last_error, result, created_at, updated_at
FROM job WHERE job_type = :job_type AND dedup_key = :dedup_key;

-- name: job_find
SELECT job_id, job_type, deal_id, payload, dedup_key, status, attempts, max_attempts, lost_leases,
  run_at_us, lease_owner, lease_fence, lease_expires_us, last_error, result, created_at, updated_at
FROM job WHERE job_id = :job_id;

-- The lease of a dead or stopped owner has run out. The row is free again; its fence grows with the
-- next claim, and until then `status` keeps the late owner out. What the rail may have been asked
-- to do must be found out, so effect jobs never die.
-- name: job_reclaim_expired
UPDATE job SET
  status = CASE
    WHEN job_type <> 'effect' AND (lost_leases + 1 >= :lost_max OR attempts >= max_attempts)
    THEN 'dead' ELSE 'retry' END,
  lost_leases = lost_leases + 1,
  run_at_us = :now_us, lease_owner = NULL, lease_expires_us = NULL,
  last_error = 'lease lost', updated_at = :now
WHERE status = 'leased' AND lease_expires_us <= :now_us;

-- name: job_finish
UPDATE job SET status = 'done', result = :result, lease_owner = NULL, lease_expires_us = NULL,
  last_error = NULL, updated_at = :now
WHERE job_id = :job_id AND lease_fence = :fence AND status = 'leased';

-- name: job_fail
UPDATE job SET
  status = CASE WHEN job_type <> 'effect' AND attempts >= max_attempts THEN 'dead' ELSE 'retry' END,
  run_at_us = :run_at_us, lease_owner = NULL, lease_expires_us = NULL,
  last_error = :last_error, updated_at = :now
WHERE job_id = :job_id AND lease_fence = :fence AND status = 'leased';

-- Later, and not a failure: the attempt is given back.
-- name: job_defer
UPDATE job SET status = 'retry', attempts = attempts - 1, run_at_us = :run_at_us,
  lease_owner = NULL, lease_expires_us = NULL, last_error = :last_error, updated_at = :now
WHERE job_id = :job_id AND lease_fence = :fence AND status = 'leased';

-- name: job_hand_back
UPDATE job SET status = 'retry', attempts = attempts - 1, run_at_us = :now_us,
  lease_owner = NULL, lease_expires_us = NULL, updated_at = :now
WHERE lease_owner = :owner AND status = 'leased';

-- name: job_requeue
UPDATE job SET status = 'queued', attempts = 0, lost_leases = 0, run_at_us = :now_us,
  last_error = :reason, updated_at = :now
WHERE job_id = :job_id AND status IN ('dead', 'cancelled');

-- A slot of a kind with a limit is a leased row of that kind: it comes back with the lease,
-- whatever became of the holder. The caller has freed what had expired.
-- name: job_count_leased
SELECT count(*) AS found FROM (
  SELECT 1 FROM job WHERE status = 'leased' AND job_type = :job_type LIMIT :slots) AS counted;

-- Over its time: a failed attempt. What the holder says later meets no row.
-- name: job_time_out
UPDATE job SET
  status = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'retry' END,
  run_at_us = :run_at_us, lease_owner = NULL, lease_expires_us = NULL,
  last_error = 'timeout', updated_at = :now
WHERE status = 'leased' AND job_type = :job_type AND job_type <> 'effect'
  AND run_at_us <= :started_us;

-- How far a leased job has come, and a sign of life. The next attempt finds it.
-- name: job_progress
UPDATE job SET result = :progress, lease_expires_us = :expires_us, updated_at = :now
WHERE job_id = :job_id AND lease_fence = :fence AND status = 'leased'
  AND lease_expires_us > :now_us;
