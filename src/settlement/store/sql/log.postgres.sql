-- What the log says differently on PostgreSQL: it has arrays, and opens JSON with another function.
-- The rows of a batch are one JSON text, so that they are one statement on both databases.

-- name: log_pending_delete
DELETE FROM event_pending WHERE seq = ANY(:seqs::bigint[]);

-- name: log_entry_insert
INSERT INTO log_entry (log_index, event_id, deal_id, version, leaf_hash)
SELECT (value ->> 0)::bigint, value ->> 1, value ->> 2, (value ->> 3)::bigint, value ->> 4
FROM json_array_elements(:entries::json);

-- name: log_node_insert
INSERT INTO log_node (level, idx, hash)
SELECT (value ->> 0)::bigint, (value ->> 1)::bigint, value ->> 2
FROM json_array_elements(:nodes::json);
