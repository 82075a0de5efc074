-- What the log says differently on SQLite: lists arrive as JSON text; many rows are many runs.

-- name: log_pending_delete
DELETE FROM event_pending WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: log_entry_insert
INSERT INTO log_entry (log_index, event_id, deal_id, version, leaf_hash)
VALUES (:log_index, :event_id, :deal_id, :version, :leaf_hash);

-- name: log_node_insert
INSERT INTO log_node (level, idx, hash) VALUES (:level, :idx, :hash);
