-- Payouts for their readers. Ids sort by time, so a page continues after an id.

-- name: payouts_get
SELECT payout_id, deal_id, agent_id, asset, amount_minor, rail, destination_id, state, refusals,
  effect_id, hold_id, waiting_for, waiting_since, next_check_at, attempts, rail_ref, created_at,
  updated_at
FROM payout WHERE payout_id = :payout_id;

-- name: payouts_of_agent_page
SELECT payout_id, deal_id, agent_id, asset, amount_minor, rail, destination_id, state, refusals,
  effect_id, hold_id, waiting_for, waiting_since, next_check_at, attempts, rail_ref, created_at,
  updated_at
FROM payout WHERE agent_id = :agent_id AND payout_id > :after
ORDER BY payout_id LIMIT :limit;

-- name: payouts_of_deal_page
SELECT payout_id, deal_id, agent_id, asset, amount_minor, rail, destination_id, state, refusals,
  effect_id, hold_id, waiting_for, waiting_since, next_check_at, attempts, rail_ref, created_at,
  updated_at
FROM payout WHERE deal_id = :deal_id AND payout_id > :after
ORDER BY payout_id LIMIT :limit;

-- name: payouts_page
SELECT payout_id, deal_id, agent_id, asset, amount_minor, rail, destination_id, state, refusals,
  effect_id, hold_id, waiting_for, waiting_since, next_check_at, attempts, rail_ref, created_at,
  updated_at
FROM payout WHERE payout_id > :after
ORDER BY payout_id LIMIT :limit;
