-- Hooks and their deliveries.

-- name: hook_insert
INSERT INTO hook (hook_id, owner_id, url, events, secret, secret_before, secret_before_until_us,
  status, disabled_reason, created_at, updated_at)
VALUES (:hook_id, :owner_id, :url, :events, :secret, NULL, NULL, 'active', NULL, :now, :now);

-- name: hook_get
SELECT hook_id, owner_id, url, events, secret, secret_before, secret_before_until_us, status,
  disabled_reason, created_at, updated_at
FROM hook WHERE hook_id = :hook_id AND status <> 'deleted';

-- name: hook_of_owner
SELECT hook_id, owner_id, url, events, secret, secret_before, secret_before_until_us, status,
  disabled_reason, created_at, updated_at
FROM hook WHERE owner_id = :owner_id AND status <> 'deleted' ORDER BY hook_id LIMIT :limit;

-- name: hook_delete
UPDATE hook SET status = 'deleted', secret = '', secret_before = NULL,
  secret_before_until_us = NULL, updated_at = :now
WHERE hook_id = :hook_id AND owner_id = :owner_id AND status <> 'deleted';

-- name: hook_rotate
UPDATE hook SET secret_before = CASE WHEN :until_us > :now_us THEN secret END,
  secret_before_until_us = CASE WHEN :until_us > :now_us THEN :until_us END,
  secret = :secret, updated_at = :now
WHERE hook_id = :hook_id AND owner_id = :owner_id AND status <> 'deleted';

-- name: hook_disable
UPDATE hook SET status = 'disabled', disabled_reason = :reason, updated_at = :now
WHERE hook_id = :hook_id AND status = 'active';

-- name: hook_enable
UPDATE hook SET status = 'active', disabled_reason = NULL, updated_at = :now
WHERE hook_id = :hook_id AND status = 'disabled';

-- name: hook_any_active
SELECT 1 AS found FROM hook WHERE status = 'active' LIMIT 1;

-- name: delivery_insert
INSERT INTO delivery (delivery_id, hook_id, event_id, stream, version, name, data, status, tries,
  due_us, lease_owner, lease_fence, lease_expires_us, last_status, last_error, created_at,
  updated_at)
VALUES (:delivery_id, :hook_id, :event_id, :stream, :version, :name, :data, :status, :tries,
  :due_us, NULL, 0, NULL, :last_status, :last_error, :now, :now)
ON CONFLICT (event_id, hook_id) DO NOTHING;

-- What was delivered, failed or given up on is owed again, from the first try; what is still owed
-- stays as it is.
-- name: delivery_replay
INSERT INTO delivery (delivery_id, hook_id, event_id, stream, version, name, data, status, tries,
  due_us, lease_owner, lease_fence, lease_expires_us, last_status, last_error, created_at,
  updated_at)
VALUES (:delivery_id, :hook_id, :event_id, :stream, :version, :name, NULL, 'pending', 0, :due_us,
  NULL, 0, NULL, NULL, NULL, :now, :now)
ON CONFLICT (event_id, hook_id) DO UPDATE SET status = 'pending', tries = 0,
  due_us = excluded.due_us, last_status = NULL, last_error = NULL, updated_at = excluded.updated_at
WHERE delivery.status NOT IN ('pending', 'leased');

-- The owner's own deals first and the log second: the log is everybody's, and long.
-- name: delivery_events_since
SELECT l.log_index, e.event_id, e.deal_id, e.version, e.event_type, e.payload
FROM (SELECT deal_id FROM party WHERE agent_id = :owner_id
  UNION SELECT :own_stream AS deal_id) AS mine
JOIN log_entry AS l ON l.deal_id = mine.deal_id
JOIN event AS e ON e.deal_id = l.deal_id AND e.version = l.version
WHERE l.log_index >= :since ORDER BY l.log_index LIMIT :limit;

-- name: delivery_page
SELECT d.delivery_id, d.event_id, d.stream, d.name, d.status, d.tries, d.due_us, d.last_status,
  d.last_error, d.created_at, d.updated_at, l.log_index
FROM delivery AS d LEFT JOIN log_entry AS l ON l.event_id = d.event_id
WHERE d.hook_id = :hook_id ORDER BY d.delivery_id DESC LIMIT :limit;

-- name: delivery_cancel_owed
UPDATE delivery SET status = 'cancelled', last_error = :reason, updated_at = :now
WHERE hook_id = :hook_id AND status = 'pending';

-- name: delivery_in_flight
SELECT count(*) AS n FROM delivery
WHERE hook_id = :hook_id AND status = 'leased' AND lease_expires_us > :now_us;

-- Whether a worker has anything to do; read before a writer's turn is asked for.
-- name: delivery_any_due
SELECT 1 AS found WHERE EXISTS (
  SELECT 1 FROM delivery WHERE status = 'pending' AND due_us <= :now_us)
OR EXISTS (SELECT 1 FROM delivery WHERE status = 'leased' AND lease_expires_us <= :now_us);

-- The lease of a dead sender has run out: whether it had sent is not known, so it is sent again,
-- under the same id. No try is used up.
-- name: delivery_reclaim_expired
UPDATE delivery SET status = 'pending', lease_owner = NULL, lease_expires_us = NULL,
  due_us = :now_us, updated_at = :now
WHERE status = 'leased' AND lease_expires_us <= :now_us;

-- name: delivery_hand_back
UPDATE delivery SET status = 'pending', lease_owner = NULL, lease_expires_us = NULL,
  updated_at = :now
WHERE status = 'leased' AND lease_owner = :owner;

-- name: delivery_load
SELECT d.delivery_id, d.hook_id, d.event_id, d.stream, d.name, d.data, d.tries, d.lease_fence,
  d.created_at, e.timestamp, e.event_type, e.actor_id, e.hash, e.payload, l.log_index
FROM delivery AS d LEFT JOIN event AS e ON e.event_id = d.event_id
LEFT JOIN log_entry AS l ON l.event_id = d.event_id
WHERE d.delivery_id = :delivery_id;

-- name: delivery_record
UPDATE delivery SET status = :status, tries = tries + 1, due_us = :due_us, lease_owner = NULL,
  lease_expires_us = NULL, last_status = :last_status, last_error = :last_error, updated_at = :now
WHERE delivery_id = :delivery_id AND lease_fence = :fence AND status = 'leased';
