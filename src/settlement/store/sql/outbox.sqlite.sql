-- Lists arrive as JSON text. The writer is alone, so a drain's turn needs no lock.
-- name: outbox_await_turn
SELECT 1 AS mine;

-- name: outbox_emit
UPDATE outbox SET status = 'emitted', emitted_at = :now
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND status = 'pending';
