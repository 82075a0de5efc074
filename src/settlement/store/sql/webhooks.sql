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

-- name: delivery_put_back
UPDATE delivery SET status = 'pending', lease_owner = NULL, lease_expires_us = NULL,
  updated_at = :now
WHERE delivery_id = :delivery_id AND lease_fence = :fence AND status = 'leased';

-- What came to its end without arriving is owed once more, from the first try. Looks at the latest
-- only, or it would read a hook's whole history; a test is a look, and is not repeated.
-- name: delivery_retry
UPDATE delivery SET status = 'pending', tries = 0, due_us = :due_us, last_status = NULL,
  last_error = NULL, updated_at = :now
WHERE delivery_id IN (
  SELECT delivery_id FROM (
    SELECT delivery_id, status, name FROM delivery
    WHERE hook_id = :hook_id ORDER BY delivery_id DESC LIMIT :limit) AS latest
  WHERE status IN ('failed', 'cancelled') AND name <> 'webhook.test')
  AND status IN ('failed', 'cancelled');

-- name: delivery_hasten
UPDATE delivery SET due_us = :due_us, updated_at = :now
WHERE hook_id = :hook_id AND status = 'pending' AND due_us > :due_us;

-- What each hook of an owner is owed, and how its latest deliveries went. Each count stops at a
-- limit and goes by an index of the hook.
-- name: delivery_summary
SELECT h.hook_id,
  (SELECT count(*) FROM (
    SELECT 1 FROM delivery AS d WHERE d.hook_id = h.hook_id AND d.status IN ('pending', 'leased')
    LIMIT :limit) AS owed) AS pending,
  (SELECT count(*) FROM (
    SELECT d.status FROM delivery AS d WHERE d.hook_id = h.hook_id
    ORDER BY d.delivery_id DESC LIMIT :limit) AS latest
    WHERE latest.status = 'delivered') AS delivered,
  (SELECT count(*) FROM (
    SELECT d.status FROM delivery AS d WHERE d.hook_id = h.hook_id
    ORDER BY d.delivery_id DESC LIMIT :limit) AS latest
    WHERE latest.status IN ('failed', 'cancelled')) AS failed,
  (SELECT max(latest.updated_at) FROM (
    SELECT d.status, d.updated_at FROM delivery AS d WHERE d.hook_id = h.hook_id
    ORDER BY d.delivery_id DESC LIMIT :limit) AS latest
    WHERE latest.status = 'delivered') AS last_delivered_at
FROM hook AS h WHERE h.owner_id = :owner_id AND h.status <> 'deleted'
ORDER BY h.hook_id LIMIT :hooks;

-- name: delivery_load
SELECT d.delivery_id, d.hook_id, h.owner_id, d.event_id, d.stream, d.name, d.data, d.tries,
  d.lease_fence, d.created_at, e.timestamp, e.event_type, e.actor_id, e.hash, e.payload, l.log_index
FROM delivery AS d LEFT JOIN event AS e ON e.event_id = d.event_id
LEFT JOIN log_entry AS l ON l.event_id = d.event_id
LEFT JOIN hook AS h ON h.hook_id = d.hook_id
WHERE d.delivery_id = :delivery_id;

-- name: delivery_record
UPDATE delivery SET status = :status, tries = tries + 1, due_us = :due_us, lease_owner = NULL,
  lease_expires_us = NULL, last_status = :last_status, last_error = :last_error, updated_at = :now
WHERE delivery_id = :delivery_id AND lease_fence = :fence AND status = 'leased';
