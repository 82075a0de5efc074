-- What may be forgotten. Each statement goes by a key's index and stops at a limit, so that it costs
-- the same on an old database as on a new one.

-- Ids begin with the time they were made at, so this reads the oldest rows first. What is still owed
-- stays, however old.
-- name: prune_deliveries
DELETE FROM delivery WHERE delivery_id IN (
  SELECT delivery_id FROM delivery
  WHERE delivery_id < :before AND status IN ('delivered', 'failed', 'cancelled')
  ORDER BY delivery_id LIMIT :limit);
