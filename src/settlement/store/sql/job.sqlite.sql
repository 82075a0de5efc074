-- The transaction is IMMEDIATE: no other claimer is at work, so rows need no locks of their own.
-- name: job_await_turn
SELECT :job_type AS mine;

-- While a job is leased `run_at_us` is when the lease began, which its time limit counts from.
-- name: job_claim_ready
UPDATE job SET status = 'leased', attempts = attempts + 1, lease_owner = :owner,
  lease_fence = max(lease_fence + 1,
    (SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'recovery_epoch') * 1099511627776 + 1),
  lease_expires_us = :expires_us, run_at_us = :now_us, updated_at = :now
WHERE job_id IN (
  SELECT job_id FROM job
  WHERE status IN ('queued', 'retry') AND run_at_us <= :now_us
    AND job_type IN (SELECT value FROM json_each(:types))
  ORDER BY run_at_us, job_id LIMIT :claim_limit)
RETURNING job_id, job_type, deal_id, payload, dedup_key, status, attempts, max_attempts, lost_leases,
  run_at_us, lease_owner, lease_fence, lease_expires_us, last_error, result, created_at, updated_at;

-- name: job_finish_many
UPDATE job SET status = 'done', lease_owner = NULL, lease_expires_us = NULL, last_error = NULL,
  updated_at = :now
FROM (SELECT ids.value AS id, fences.value AS fence
  FROM json_each(:ids) AS ids JOIN json_each(:fences) AS fences ON fences.key = ids.key) AS mine
WHERE job.job_id = mine.id AND job.lease_fence = mine.fence AND job.status = 'leased';

-- name: job_renew_many
UPDATE job SET lease_expires_us = :expires_us, updated_at = :now
FROM (SELECT ids.value AS id, fences.value AS fence
  FROM json_each(:ids) AS ids JOIN json_each(:fences) AS fences ON fences.key = ids.key) AS mine
WHERE job.job_id = mine.id AND job.lease_fence = mine.fence AND job.status = 'leased'
  AND job.lease_expires_us > :now_us;
