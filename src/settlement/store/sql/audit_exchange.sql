-- What `settlement audit` reads about intents, bids and awards.

-- name: audit_reveal_early
SELECT r.bid_id, r.intent_id, i.state, 'it is revealed, and its intent was never closed' AS why
FROM bid_reveal AS r LEFT JOIN intent AS i ON i.intent_id = r.intent_id
WHERE i.state IS NULL OR i.state NOT IN ('awarded', 'no_award')
ORDER BY r.bid_id LIMIT 1;

-- name: audit_sealed_event_page
SELECT deal_id, version, event_id, event_type, amount_minor, payload FROM event
WHERE (deal_id, version) > (:deal_id, :version)
  AND event_type IN ('INTENT_CREATED', 'BID_RECEIVED')
ORDER BY deal_id, version LIMIT :limit;

-- name: audit_bid_claim_page
SELECT scope, key, args, outcome FROM claim
WHERE operation = 'place_bid' AND (scope, key) > (:scope, :key)
ORDER BY scope, key LIMIT :limit;

-- name: audit_intent_page
SELECT i.intent_id, i.deal_id, i.state, i.asset, i.budget_minor, i.budget_nonce, i.deadline_hours,
  i.closes_at, i.closed_at, i.winner_bid_id, i.winner_agent_id, i.winning_minor,
  d.price_minor AS deal_price_minor, d.seller_label AS deal_seller
FROM intent AS i LEFT JOIN deal AS d ON d.deal_id = i.deal_id
WHERE i.intent_id > :intent_id ORDER BY i.intent_id LIMIT :limit;

-- name: audit_intent_bids
SELECT b.bid_id, b.n, b.agent_id, b.commitment, b.ocs_hundredths, b.sla_ppm, b.created_at,
  r.price_minor, r.delivery_hours, r.message, r.nonce
FROM bid AS b LEFT JOIN bid_reveal AS r ON r.bid_id = b.bid_id AND r.intent_id = b.intent_id
WHERE b.intent_id = :intent_id ORDER BY b.n, b.bid_id;

-- name: audit_intent_events
SELECT version, event_type, payload FROM event
WHERE deal_id = :deal_id AND event_type IN ('INTENT_CREATED', 'BID_RECEIVED', 'INTENT_CLOSED',
  'INTENT_AWARDED', 'BIDS_REVEALED')
ORDER BY version;
