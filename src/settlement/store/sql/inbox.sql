-- Messages of rails: taken in once, closed once.

-- name: inbox_insert
INSERT INTO inbox (source, message_id, event_id, body, digest, received_at, status)
VALUES (:source, :message_id, :event_id, :body, :digest, :now, 'new')
ON CONFLICT (source, message_id) DO NOTHING;

-- name: inbox_get
SELECT source, message_id, event_id, body, digest, received_at, status, applied_at, note
FROM inbox WHERE event_id = :event_id;

-- name: inbox_close
UPDATE inbox SET status = :status, note = :note, applied_at = :now
WHERE event_id = :event_id AND status = 'new';

-- name: inbox_dismiss
UPDATE inbox SET status = 'ignored', note = :note
WHERE event_id = :event_id AND status = 'contradiction';
