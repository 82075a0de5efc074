-- Lists arrive as JSON text. The writer is alone.
-- Heads only: what comes later in the same stream for the same hook waits for what comes before.
-- Events wait for their place in the log. Each hook gets a few at a time, so that a slow one does
-- not take all senders.
-- name: delivery_find_due
WITH due AS (
  SELECT d.delivery_id, d.due_us, h.owner_id,
    row_number() OVER (PARTITION BY d.hook_id ORDER BY d.due_us, d.delivery_id) AS turn
  FROM delivery AS d JOIN hook AS h ON h.hook_id = d.hook_id
  LEFT JOIN log_entry AS l ON l.event_id = d.event_id
  WHERE d.status = 'pending' AND d.due_us <= :now_us AND h.status = 'active'
    AND (d.data IS NOT NULL OR l.log_index IS NOT NULL)
    AND NOT (d.hook_id IN (SELECT value FROM json_each(:busy)))
    AND NOT (h.owner_id IN (SELECT value FROM json_each(:busy_owners)))
    AND NOT EXISTS (
      SELECT 1 FROM delivery AS b
      WHERE b.hook_id = d.hook_id AND b.stream = d.stream AND b.version < d.version
        AND b.status IN ('pending', 'leased'))),
in_turn AS (
  SELECT delivery_id, due_us,
    row_number() OVER (PARTITION BY owner_id ORDER BY turn, due_us, delivery_id) AS owner_turn
  FROM due WHERE turn <= :per_hook)
SELECT delivery_id FROM in_turn WHERE owner_turn <= :per_owner
ORDER BY owner_turn, due_us, delivery_id LIMIT :limit;

-- Another sender may have been first: `status` decides again, row by row.
-- name: delivery_lease
UPDATE delivery SET status = 'leased', lease_owner = :owner,
  lease_fence = max(lease_fence + 1,
    (SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'recovery_epoch') * 1099511627776 + 1),
  lease_expires_us = :expires_us, updated_at = :now
WHERE delivery_id IN (SELECT value FROM json_each(:ids)) AND status = 'pending'
RETURNING delivery_id;

-- Each event with the hooks of its deal's parties, or of the agent whose own stream, or whose
-- mandate's stream, it is in.
-- name: delivery_hooks_for
SELECT o.seq, e.event_id, e.deal_id, e.version, e.event_type, e.payload, h.hook_id, h.events
FROM outbox AS o JOIN event AS e ON e.event_id = o.event_id AND e.deal_id = o.deal_id
JOIN party AS p ON p.deal_id = e.deal_id
JOIN hook AS h ON h.owner_id = p.agent_id AND h.status = 'active'
WHERE o.seq IN (SELECT value FROM json_each(:seqs))
UNION
SELECT o.seq, e.event_id, e.deal_id, e.version, e.event_type, e.payload, h.hook_id, h.events
FROM outbox AS o JOIN event AS e ON e.event_id = o.event_id AND e.deal_id = o.deal_id
JOIN hook AS h ON h.owner_id = substr(e.deal_id, 5) AND h.status = 'active'
WHERE o.seq IN (SELECT value FROM json_each(:seqs)) AND substr(e.deal_id, 1, 4) = 'sys_'
UNION
SELECT o.seq, e.event_id, e.deal_id, e.version, e.event_type, e.payload, h.hook_id, h.events
FROM outbox AS o JOIN event AS e ON e.event_id = o.event_id AND e.deal_id = o.deal_id
JOIN mandate AS m ON m.mandate_id = substr(e.deal_id, 5)
JOIN hook AS h ON h.owner_id = m.buyer_id AND h.status = 'active'
WHERE o.seq IN (SELECT value FROM json_each(:seqs)) AND substr(e.deal_id, 1, 8) = 'sys_mnd_'
ORDER BY seq, hook_id;
