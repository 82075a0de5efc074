-- name: topup_request
-- The request is the first event of its own stream.
SELECT payload FROM event
WHERE deal_id = :stream AND version = 0 AND event_type = 'TOPUP_REQUESTED';
