-- Write sets of the exchange on SQLite: one row a statement, bound by position.

-- name: intent_insert
INSERT INTO intent (intent_id, deal_id, state, open, client_id, client_label, capability,
  requirements, asset, budget_minor, budget_nonce, deadline_hours, public_key, sealed_key,
  seal_key_id, created_at, closes_at, closed_at, winner_bid_id, winner_agent_id, winning_minor,
  due_at)
VALUES (:intent_id, :deal_id, :state, :open, :client_id, :client_label, :capability,
  :requirements, :asset, :budget_minor, :budget_nonce, :deadline_hours, :public_key, :sealed_key,
  :seal_key_id, :created_at, :closes_at, :closed_at, :winner_bid_id, :winner_agent_id,
  :winning_minor, :due_at);

-- name: bid_insert
INSERT INTO bid (bid_id, intent_id, n, agent_id, bidder_id, commitment, ciphertext,
  ocs_hundredths, sla_ppm, created_at)
VALUES (:bid_id, :intent_id, :n, :agent_id, :bidder_id, :commitment, :ciphertext,
  :ocs_hundredths, :sla_ppm, :created_at);

-- name: bid_reveal_insert
INSERT INTO bid_reveal (bid_id, intent_id, price_minor, delivery_hours, message, nonce)
VALUES (:bid_id, :intent_id, :price_minor, :delivery_hours, :message, :nonce);

-- name: intent_update
UPDATE intent SET
  state = :state, closed_at = :closed_at, winner_bid_id = :winner_bid_id,
  winner_agent_id = :winner_agent_id, winning_minor = :winning_minor, due_at = :due_at
WHERE intent_id = :intent_id AND state = 'open';
