-- SQLite spells the larger of two numbers max.
-- name: lease_take_over
UPDATE lease SET owner = :owner, expires_us = :expires_us,
  fence = max(fence + 1,
    (SELECT CAST(value AS BIGINT) FROM setting WHERE name = 'recovery_epoch') * 1099511627776 + 1)
WHERE name = :name AND expires_us <= :now_us;
