-- Keys come as arrays. The lock makes the batches of two processes take turns at one caller.

-- name: limit_lock
SELECT t.* FROM unnest(:principal::text[], :bucket::text[]) AS k (principal, bucket)
JOIN rate_limit AS t USING (principal, bucket)
WHERE t.principal = ANY(:principal::text[])
ORDER BY t.principal, t.bucket FOR UPDATE OF t;

-- A row that was there is locked by us. One that was not may have been made by a rival since; then
-- its version is not the one before ours, nothing is written, and the batch runs anew.
-- name: limit_write
INSERT INTO rate_limit AS t (principal, bucket, tat_us, version)
SELECT unnest(:principal::text[]), unnest(:bucket::text[]), unnest(:tat_us::bigint[]),
  unnest(:version::bigint[])
ON CONFLICT (principal, bucket) DO UPDATE SET tat_us = excluded.tat_us, version = excluded.version
WHERE t.version = excluded.version - 1;

-- Rows in use are skipped, not waited for: this is the one place that would lock in another order.
-- name: limit_prune
DELETE FROM rate_limit AS t USING (
  SELECT principal, bucket FROM rate_limit
  WHERE (principal, bucket) > (:principal, :bucket)
    AND (principal, bucket) <= (:last_principal, :last_bucket) AND tat_us < :now_us
  FOR UPDATE SKIP LOCKED) AS stale
WHERE t.principal = stale.principal AND t.bucket = stale.bucket;
