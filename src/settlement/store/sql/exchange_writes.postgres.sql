-- Write sets of the exchange on PostgreSQL; writes.postgres.sql says why they have this form.

-- name: intent_insert
INSERT INTO intent (intent_id, deal_id, state, open, client_id, client_label, capability,
  requirements, asset, budget_minor, budget_nonce, deadline_hours, public_key, sealed_key,
  seal_key_id, created_at, closes_at, closed_at, winner_bid_id, winner_agent_id, winning_minor,
  due_at)
SELECT unnest(:intent_id::text[]), unnest(:deal_id::text[]), unnest(:state::text[]),
  unnest(:open::bigint[]), unnest(:client_id::text[]), unnest(:client_label::text[]),
  unnest(:capability::text[]), unnest(:requirements::text[]), unnest(:asset::text[]),
  unnest(:budget_minor::bigint[]), unnest(:budget_nonce::text[]),
  unnest(:deadline_hours::bigint[]), unnest(:public_key::text[]), unnest(:sealed_key::text[]),
  unnest(:seal_key_id::text[]), unnest(:created_at::text[]), unnest(:closes_at::text[]),
  unnest(:closed_at::text[]), unnest(:winner_bid_id::text[]), unnest(:winner_agent_id::text[]),
  unnest(:winning_minor::bigint[]), unnest(:due_at::text[]);

-- name: bid_insert
INSERT INTO bid (bid_id, intent_id, n, agent_id, bidder_id, commitment, ciphertext,
  ocs_hundredths, sla_ppm, created_at)
SELECT unnest(:bid_id::text[]), unnest(:intent_id::text[]), unnest(:n::bigint[]),
  unnest(:agent_id::text[]), unnest(:bidder_id::text[]), unnest(:commitment::text[]),
  unnest(:ciphertext::text[]), unnest(:ocs_hundredths::bigint[]), unnest(:sla_ppm::bigint[]),
  unnest(:created_at::text[]);

-- name: bid_reveal_insert
INSERT INTO bid_reveal (bid_id, intent_id, price_minor, delivery_hours, message, nonce)
SELECT unnest(:bid_id::text[]), unnest(:intent_id::text[]), unnest(:price_minor::bigint[]),
  unnest(:delivery_hours::bigint[]), unnest(:message::text[]), unnest(:nonce::text[]);

-- name: intent_update
UPDATE intent AS t SET
  state = n.state, closed_at = n.closed_at, winner_bid_id = n.winner_bid_id,
  winner_agent_id = n.winner_agent_id, winning_minor = n.winning_minor, due_at = n.due_at
FROM unnest(:state::text[], :closed_at::text[], :winner_bid_id::text[],
  :winner_agent_id::text[], :winning_minor::bigint[], :due_at::text[], :intent_id::text[])
  AS n (state, closed_at, winner_bid_id, winner_agent_id, winning_minor, due_at, intent_id)
WHERE t.intent_id = n.intent_id AND t.intent_id = ANY(:intent_id::text[]) AND t.state = 'open';
