-- The last refusal under a claim that was released: what its callers are told.
-- name: effect_find_refusal
SELECT deal_id, kind, refusal FROM effect
WHERE deal_id = :deal_id AND claim_operation = :operation AND claim_key = :key AND state = 'refused'
ORDER BY updated_at DESC LIMIT 1;
