-- Idempotency claims for those who ask what became of a call.

-- name: claims_by_key
-- A derived key is one row; a key callers chose may stand under several principals.
SELECT scope, operation, key, key_digest, principal, deal_id, args, fingerprint, state, phase,
  fence, outcome, target_scope, target_key, first_seen, finished_at
FROM claim WHERE key = :key ORDER BY first_seen LIMIT 100;

-- name: claims_get
SELECT scope, operation, key, key_digest, principal, deal_id, args, fingerprint, state, phase,
  fence, outcome, target_scope, target_key, first_seen, finished_at
FROM claim WHERE scope = :scope AND operation = :operation AND key = :key;

-- name: claims_effect
-- The latest effect of a claim, with the lease of the job that works on it.
SELECT e.obligation_key, e.state, e.rail, e.rail_ref, e.asked_at, e.fence,
  j.lease_expires_us, j.status AS job_status
FROM effect AS e
LEFT JOIN job AS j ON j.job_type = 'effect' AND j.dedup_key = e.effect_id
WHERE e.deal_id = :deal_id AND e.claim_operation = :operation AND e.claim_key = :key
ORDER BY e.created_at DESC, e.effect_id DESC LIMIT 1;

-- name: claims_count
-- Counted up to a limit: a figure for people is not worth reading a history.
SELECT count(*) AS known FROM (SELECT 1 FROM claim LIMIT :limit) AS counted;

-- name: claims_running
SELECT count(*) AS running FROM (
  SELECT 1 FROM effect WHERE state IN ('planned', 'sent', 'unknown') LIMIT :limit) AS counted;
