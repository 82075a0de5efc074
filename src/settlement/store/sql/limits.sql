-- Shared rate limits. Rows are found by their key; a stale one is found by walking the keys.

-- The last key of the next page of a walk over all rows.
-- name: limit_page_end
SELECT principal, bucket FROM rate_limit
WHERE (principal, bucket) > (:principal, :bucket)
ORDER BY principal, bucket LIMIT 1 OFFSET :size;
