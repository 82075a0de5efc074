-- Lists arrive as arrays.
-- name: outbox_emit
UPDATE outbox SET status = 'emitted', emitted_at = :now
WHERE seq = ANY(:seqs) AND status = 'pending';
