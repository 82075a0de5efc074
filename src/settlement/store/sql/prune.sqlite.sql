-- Lists arrive as JSON text.
-- name: prune_periods
DELETE FROM job WHERE job_type = :job_type AND status = 'done'
  AND dedup_key IN (SELECT value FROM json_each(:keys));
