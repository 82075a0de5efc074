-- name: effect_count_open
SELECT count(*) AS open_effects,
  sum(CASE WHEN state = 'unknown' THEN 1 ELSE 0 END) AS unknown_effects,
  min(CASE WHEN state = 'unknown' THEN sent_at END) AS unknown_since
FROM effect WHERE state IN ('planned', 'sent', 'unknown');

-- The last refusal under a claim that was released: what its callers are told.
-- name: effect_find_refusal
SELECT deal_id, kind, refusal FROM effect
WHERE deal_id = :deal_id AND claim_operation = :operation AND claim_key = :key AND state = 'refused'
ORDER BY updated_at DESC LIMIT 1;
