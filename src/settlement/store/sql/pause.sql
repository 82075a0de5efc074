-- Pause switches: rows of `setting`, one per switch that was ever used.

-- name: pause_find_all
SELECT name, value FROM setting WHERE name IN (
  'pause_all', 'pause_exchange', 'pause_go', 'pause_payout', 'pause_settle', 'pause_webhooks');

-- name: pause_write
INSERT INTO setting (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- What waited for a switch need not wait out its time.
-- name: pause_wake_jobs
UPDATE job SET run_at_us = :now_us WHERE status = 'retry' AND last_error LIKE 'paused: %'
  AND run_at_us > :now_us;
