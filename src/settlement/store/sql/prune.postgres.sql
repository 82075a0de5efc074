-- Lists arrive as arrays.
-- name: prune_periods
DELETE FROM job WHERE job_type = :job_type AND status = 'done' AND dedup_key = ANY(:keys);
