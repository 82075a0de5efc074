-- What the log says differently on SQLite: lists arrive as JSON text, which json_each opens.

-- name: log_pending_delete
DELETE FROM event_pending WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: log_entry_insert
INSERT INTO log_entry (log_index, event_id, deal_id, version, leaf_hash)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(:entries);

-- name: log_node_insert
INSERT INTO log_node (level, idx, hash)
SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:nodes);
