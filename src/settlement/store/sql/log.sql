-- The log: leaves, complete subtrees, tree heads, and the events that wait for an index.

-- name: log_size
SELECT coalesce(max(log_index) + 1, 0) AS tree_size FROM log_entry;

-- name: log_pending_any
SELECT seq FROM event_pending ORDER BY seq LIMIT 1;

-- name: log_pending_page
-- The page is cut first and joined after, so that its events are found by their key.
SELECT p.seq, e.deal_id, e.version, e.event_id, e.event_type, e.hash, e.timestamp
FROM (SELECT seq, deal_id, version FROM event_pending ORDER BY seq LIMIT :limit) AS p
JOIN event AS e ON e.deal_id = p.deal_id AND e.version = p.version
ORDER BY p.seq;

-- name: log_lag
SELECT count(*) AS pending, min(e.timestamp) AS oldest
FROM (SELECT deal_id, version FROM event_pending ORDER BY seq LIMIT 10000) AS p
JOIN event AS e ON e.deal_id = p.deal_id AND e.version = p.version;

-- name: log_lease_extend
-- Locks the lease row until the commit: a rival that wants it waits, so no two holders ever write.
UPDATE lease SET expires_us = :expires_us
WHERE name = :name AND owner = :owner AND fence = :fence;

-- name: log_leaf_hashes
-- One long row instead of 256 short ones: a proof reads a few of these.
SELECT string_agg(leaf_hash, '' ORDER BY log_index) AS hashes
FROM log_entry WHERE log_index >= :start AND log_index < :stop;

-- name: log_node_hashes
SELECT string_agg(hash, '' ORDER BY idx) AS hashes
FROM log_node WHERE level = :level AND idx >= :start AND idx < :stop;

-- name: log_entries_page
SELECT log_index, event_id, deal_id, version, leaf_hash
FROM log_entry WHERE log_index >= :start AND log_index < :stop ORDER BY log_index;

-- name: log_day_page
SELECT l.log_index, l.leaf_hash, e.timestamp
FROM log_entry AS l JOIN event AS e ON e.deal_id = l.deal_id AND e.version = l.version
WHERE l.log_index >= :start AND e.timestamp >= :low AND e.timestamp < :high
ORDER BY l.log_index LIMIT :limit;

-- name: log_position_last
-- The last event of a chain and its place in the log, if it has one.
SELECT e.version, e.event_id, l.log_index
FROM event AS e LEFT JOIN log_entry AS l ON l.deal_id = e.deal_id AND l.version = e.version
WHERE e.deal_id = :deal_id ORDER BY e.version DESC LIMIT 1;

-- name: log_position_at
SELECT log_index FROM log_entry WHERE deal_id = :deal_id AND version = :version;

-- name: log_head_last
SELECT tree_size, root_hash, log_id, timestamp, key_id, algorithm, signature
FROM tree_head ORDER BY tree_size DESC LIMIT 1;

-- name: log_head_at
SELECT tree_size, root_hash, log_id, timestamp, key_id, algorithm, signature
FROM tree_head WHERE tree_size = :tree_size;

-- name: log_head_first
SELECT min(timestamp) AS timestamp FROM tree_head WHERE key_id = :key_id;

-- name: log_head_count
SELECT count(*) AS heads FROM tree_head;

-- name: log_head_insert
INSERT INTO tree_head (tree_size, root_hash, log_id, timestamp, key_id, algorithm, signature)
VALUES (:tree_size, :root_hash, :log_id, :timestamp, :key_id, :algorithm, :signature);
