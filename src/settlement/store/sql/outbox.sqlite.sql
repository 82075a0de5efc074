-- Lists arrive as JSON text.
-- name: outbox_emit
UPDATE outbox SET status = 'emitted', emitted_at = :now
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND status = 'pending';
