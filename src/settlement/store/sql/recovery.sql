-- The state of recovery: rows of `setting` (spec 17.2).

-- name: recovery_find
SELECT name, value FROM setting WHERE name IN (
  'recovery_deliveries_held', 'recovery_epoch', 'recovery_parked', 'recovery_recovered_at');

-- name: recovery_set
INSERT INTO setting (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: recovery_unset
DELETE FROM setting WHERE name = :name;

-- No holder of before is one now, and no fence of before is the current one.
-- name: recovery_void_leases
UPDATE lease SET expires_us = 0, fence = CASE WHEN fence > :fence THEN fence ELSE :fence END;

-- name: recovery_void_jobs
UPDATE job SET status = 'retry', lease_owner = NULL, lease_expires_us = NULL,
  lease_fence = CASE WHEN lease_fence > :fence THEN lease_fence ELSE :fence END,
  run_at_us = :now_us, last_error = 'lease void: recovered from a backup', updated_at = :now
WHERE status = 'leased';

-- name: recovery_void_deliveries
UPDATE delivery SET status = 'pending', lease_owner = NULL, lease_expires_us = NULL,
  lease_fence = CASE WHEN lease_fence > :fence THEN lease_fence ELSE :fence END,
  due_us = :now_us, updated_at = :now
WHERE status = 'leased';

-- The rail was called, and what it said is lost.
-- name: recovery_doubt_effects
UPDATE effect SET state = 'unknown', updated_at = :now WHERE state = 'sent';

-- name: recovery_doubt_payouts
UPDATE payout SET state = 'unknown', updated_at = :now WHERE state = 'sent';

-- name: recovery_park_payouts
UPDATE payout SET waiting_for = 'recovery_parked', waiting_since = :now, updated_at = :now
WHERE state = 'planned' AND effect_id IS NOT NULL;

-- name: recovery_free_payouts
UPDATE payout SET waiting_for = 'effect_open', waiting_since = :now, next_check_at = NULL,
  updated_at = :now
WHERE waiting_for = 'recovery_parked';

-- What waited need not wait out its time.
-- name: recovery_wake_jobs
UPDATE job SET run_at_us = :now_us WHERE status = 'retry' AND last_error LIKE 'parked: %'
  AND run_at_us > :now_us;

-- name: recovery_open_effects
SELECT effect_id, obligation_key, kind, rail, asset, amount_minor, state, destination
FROM effect WHERE state IN ('planned', 'sent', 'unknown') AND effect_id > :after
ORDER BY effect_id LIMIT :limit;

-- name: recovery_effect_of
SELECT effect_id, state, amount_minor, asset, rail FROM effect
WHERE obligation_key = :obligation_key;

-- name: recovery_deal_exists
SELECT state FROM deal WHERE deal_id = :deal_id;
