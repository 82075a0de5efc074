-- The fence grows at every change of holder, across restarts and restores; the row is never
-- deleted, or it would start anew.
-- name: lease_insert
INSERT INTO lease (name, owner, fence, expires_us)
VALUES (:name, :owner,
  (SELECT CAST(value AS BIGINT) FROM setting WHERE name = 'recovery_epoch') * 1099511627776 + 1,
  :expires_us)
ON CONFLICT (name) DO NOTHING;

-- name: lease_renew
UPDATE lease SET expires_us = :expires_us
WHERE name = :name AND owner = :owner AND fence = :fence AND expires_us > :now_us;

-- name: lease_release
UPDATE lease SET expires_us = 0 WHERE name = :name AND owner = :owner AND fence = :fence;

-- name: lease_find
SELECT name, owner, fence, expires_us FROM lease WHERE name = :name;
