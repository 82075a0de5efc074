-- PostgreSQL spells the larger of two numbers greatest. A rival's take-over makes this one wait,
-- then look again at the row it left: one of them changes it.
-- name: lease_take_over
UPDATE lease SET owner = :owner, expires_us = :expires_us,
  fence = greatest(fence + 1,
    (SELECT CAST(value AS BIGINT) FROM setting WHERE name = 'recovery_epoch') * 1099511627776 + 1)
WHERE name = :name AND expires_us <= :now_us;
