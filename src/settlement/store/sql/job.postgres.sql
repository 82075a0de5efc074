-- Claimers of a kind with a limit take turns until their commit: each must see the slots that the
-- one before has taken.
-- name: job_await_turn
SELECT :job_type::text AS mine
FROM (SELECT pg_advisory_xact_lock(hashtext('settlement/job/' || :job_type::text))) AS turn;

-- While a job is leased `run_at_us` is when the lease began, which its time limit counts from.
-- SKIP LOCKED: claimers do not wait for each other's rows. The inner read is MATERIALIZED, or the
-- planner may run it again for every candidate and lease more than the limit.
-- name: job_claim_ready
WITH ready AS MATERIALIZED (
  SELECT job_id FROM job
  WHERE status IN ('queued', 'retry') AND run_at_us <= :now_us AND job_type = ANY(:types)
  ORDER BY run_at_us, job_id LIMIT :claim_limit FOR UPDATE SKIP LOCKED)
UPDATE job SET status = 'leased', attempts = attempts + 1, lease_owner = :owner,
  lease_fence = greatest(lease_fence + 1,
    (SELECT CAST(value AS bigint) FROM setting WHERE name = 'recovery_epoch') * 1099511627776 + 1),
  lease_expires_us = :expires_us, run_at_us = :now_us, updated_at = :now
FROM ready WHERE job.job_id = ready.job_id
RETURNING job.job_id, job_type, deal_id, payload, dedup_key, status, attempts, max_attempts,
  lost_leases, run_at_us, lease_owner, lease_fence, lease_expires_us, last_error, result, created_at,
  updated_at;

-- As the shared one, but passing by rows that another process is reclaiming: waiting for them in
-- no fixed order could deadlock.
-- name: job_reclaim_expired
UPDATE job SET
  status = CASE
    WHEN job_type <> 'effect' AND (lost_leases + 1 >= :lost_max OR attempts >= max_attempts)
    THEN 'dead' ELSE 'retry' END,
  lost_leases = lost_leases + 1,
  run_at_us = :now_us, lease_owner = NULL, lease_expires_us = NULL,
  last_error = 'lease lost', updated_at = :now
WHERE job_id IN (
  SELECT job_id FROM job WHERE status = 'leased' AND lease_expires_us <= :now_us
  FOR UPDATE SKIP LOCKED);

-- name: job_finish_many
UPDATE job SET status = 'done', lease_owner = NULL, lease_expires_us = NULL, last_error = NULL,
  updated_at = :now
FROM unnest(:ids::text[], :fences::bigint[]) AS mine (id, fence)
WHERE job.job_id = mine.id AND job.lease_fence = mine.fence AND job.status = 'leased';

-- name: job_renew_many
UPDATE job SET lease_expires_us = :expires_us, updated_at = :now
FROM unnest(:ids::text[], :fences::bigint[]) AS mine (id, fence)
WHERE job.job_id = mine.id AND job.lease_fence = mine.fence AND job.status = 'leased'
  AND job.lease_expires_us > :now_us;
