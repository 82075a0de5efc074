-- What the log says differently on PostgreSQL: it has arrays, so a list is one parameter and a
-- batch of rows is one statement.

-- name: log_pending_delete
DELETE FROM event_pending WHERE seq = ANY(:seqs::bigint[]);

-- name: log_entry_insert
INSERT INTO log_entry (log_index, event_id, deal_id, version, leaf_hash)
VALUES (:log_index, :event_id, :deal_id, :version, :leaf_hash);

-- name: log_node_insert
INSERT INTO log_node (level, idx, hash) VALUES (:level, :idx, :hash);
