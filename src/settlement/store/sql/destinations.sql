-- Payout destinations for their owner.

-- name: destinations_get
SELECT destination_id, owner_id, rail, address, metadata, auto, status, created_at
FROM destination WHERE destination_id = :destination_id;

-- name: destinations_of_owner
SELECT destination_id, owner_id, rail, address, metadata, auto, status, created_at
FROM destination WHERE owner_id = :owner_id ORDER BY destination_id LIMIT :limit;

-- name: destinations_set_status
UPDATE destination SET status = :status WHERE destination_id = :destination_id;
