-- Lists come as JSON text, and nothing is locked: the one writer is alone.

-- name: limit_lock
SELECT t.* FROM json_each(:keys) AS k CROSS JOIN rate_limit AS t
  ON t.principal = k.value ->> 0 AND t.bucket = k.value ->> 1;

-- name: limit_write
INSERT INTO rate_limit (principal, bucket, tat_us, version)
VALUES (:principal, :bucket, :tat_us, :version)
ON CONFLICT (principal, bucket) DO UPDATE SET tat_us = excluded.tat_us, version = excluded.version
WHERE rate_limit.version = excluded.version - 1;

-- name: limit_prune
DELETE FROM rate_limit
WHERE (principal, bucket) > (:principal, :bucket)
  AND (principal, bucket) <= (:last_principal, :last_bucket) AND tat_us < :now_us;
