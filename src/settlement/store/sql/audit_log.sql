-- What `settlement audit` reads about chains, the log and receipts.

-- name: audit_event_page
SELECT e.deal_id, e.version, e.event_id, e.event_type, e.actor_id, e.timestamp, e.payload,
  e.prev_hash, e.hash, d.version AS deal_version, d.head_hash AS deal_head_hash
FROM event AS e LEFT JOIN deal AS d ON d.deal_id = e.deal_id
WHERE (e.deal_id, e.version) > (:deal_id, :version)
ORDER BY e.deal_id, e.version LIMIT :limit;

-- name: audit_event_since_page
-- Events in the order of the log, each with its neighbours in its chain.
SELECT l.log_index, e.deal_id, e.version, e.event_id, e.event_type, e.actor_id, e.timestamp, e.payload,
  e.prev_hash, e.hash, b.hash AS before_hash, n.hash AS after_hash,
  d.version AS deal_version, d.head_hash AS deal_head_hash
FROM log_entry AS l JOIN event AS e ON e.event_id = l.event_id
LEFT JOIN event AS b ON b.deal_id = e.deal_id AND b.version = e.version - 1
LEFT JOIN event AS n ON n.deal_id = e.deal_id AND n.version = e.version + 1
LEFT JOIN deal AS d ON d.deal_id = e.deal_id
WHERE l.log_index > :log_index ORDER BY l.log_index LIMIT :limit;

-- name: audit_event_waiting_page
-- The same of events that the log has not taken up yet.
SELECT p.seq, e.deal_id, e.version, e.event_id, e.event_type, e.actor_id, e.timestamp, e.payload,
  e.prev_hash, e.hash, b.hash AS before_hash, n.hash AS after_hash,
  d.version AS deal_version, d.head_hash AS deal_head_hash
FROM event_pending AS p JOIN event AS e ON e.deal_id = p.deal_id AND e.version = p.version
LEFT JOIN event AS b ON b.deal_id = e.deal_id AND b.version = e.version - 1
LEFT JOIN event AS n ON n.deal_id = e.deal_id AND n.version = e.version + 1
LEFT JOIN deal AS d ON d.deal_id = e.deal_id
WHERE p.seq > :seq ORDER BY p.seq LIMIT :limit;

-- name: audit_deal_without_events
SELECT d.deal_id, d.version, 'the deal counts events that are not there' AS why
FROM deal AS d
WHERE d.version > 0 AND NOT EXISTS (SELECT 1 FROM event AS e WHERE e.deal_id = d.deal_id)
ORDER BY d.deal_id LIMIT 1;

-- name: audit_leaf_page
SELECT l.log_index, l.event_id AS leaf_event_id, l.deal_id AS leaf_deal_id,
  l.version AS leaf_version, l.leaf_hash, e.deal_id, e.version, e.event_id, e.event_type,
  e.hash, e.timestamp
FROM log_entry AS l LEFT JOIN event AS e ON e.event_id = l.event_id
WHERE l.log_index > :log_index ORDER BY l.log_index LIMIT :limit;

-- name: audit_head_page
SELECT tree_size, root_hash, log_id, timestamp, key_id, algorithm, signature
FROM tree_head WHERE tree_size > :tree_size ORDER BY tree_size LIMIT :limit;

-- name: audit_event_unlogged
-- :before is the lag that is allowed. An event that waits its turn is not lost yet.
SELECT e.event_id, e.deal_id, e.version, 'it is neither in the log nor waiting for its turn' AS why
FROM event AS e
LEFT JOIN log_entry AS l ON l.event_id = e.event_id
LEFT JOIN event_pending AS p ON p.deal_id = e.deal_id AND p.version = e.version
WHERE l.event_id IS NULL AND p.seq IS NULL
ORDER BY e.deal_id, e.version LIMIT 1;

-- name: audit_receipt_page
SELECT r.receipt_id, r.deal_id, r.proof_hash, r.provider, r.verified, r.confidence,
  r.verification_hash, r.receipt_hash, r.receipt_digest, r.event_id, e.event_type, e.payload,
  e.deal_id AS event_deal_id
FROM receipt AS r LEFT JOIN event AS e ON e.event_id = r.event_id
WHERE r.receipt_id > :receipt_id ORDER BY r.receipt_id LIMIT :limit;

-- The last signed head that a run saw whole.
-- name: audit_run_head
SELECT max(tree_size) AS tree_size FROM tree_head WHERE tree_size <= :seen;
