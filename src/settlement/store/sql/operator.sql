-- What an operator looks at: effects, jobs, and what the database says of itself.

-- name: operator_effects
SELECT effect_id, kind, deal_id, rail, asset, amount_minor, state, ask_count, rail_ref, refusal,
  created_at, updated_at
FROM effect
WHERE (:state = '' OR state = :state)
ORDER BY effect_id DESC LIMIT :limit;

-- name: operator_jobs
SELECT job_id, job_type, deal_id, status, attempts, max_attempts, lost_leases, last_error,
  created_at, updated_at
FROM job
WHERE (:state = '' OR status = :state)
ORDER BY job_id DESC LIMIT :limit;

-- name: operator_probe
-- Writes what is there already: proves that a commit can be made, and changes nothing.
UPDATE setting SET value = value WHERE name = 'recovery_epoch';

-- name: operator_last_time
SELECT max(timestamp) AS at FROM tree_head;
