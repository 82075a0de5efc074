-- Lists arrive as arrays. One drain at a time until its commit: row locks would not do, since a
-- drain that waited for a failing head still sees the rows behind it as they were, and overtakes.
-- name: outbox_await_turn
SELECT 1 AS mine FROM (SELECT pg_advisory_xact_lock(hashtext('settlement/outbox'))) AS turn;

-- name: outbox_emit
UPDATE outbox SET status = 'emitted', emitted_at = :now
WHERE seq = ANY(:seqs) AND status = 'pending';
