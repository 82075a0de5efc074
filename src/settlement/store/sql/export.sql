-- Whole tables for exports, a page at a time in key order, on one snapshot. Tx ids are in the order
-- of booking, so a span of time is a range of them.

-- name: export_accounts
SELECT ref, asset, account_class, guard, holder, deal_id, debits_posted, credits_posted,
  debits_held, credits_held, version, opened_at, closed_at
FROM account WHERE (ref, asset) > (:ref, :asset) ORDER BY ref, asset LIMIT :limit;

-- name: export_transfers
SELECT transfer_id, tx_id, leg, deal_id, event_id, kind, phase, asset, amount_minor, debit_ref,
  debit_class, credit_ref, credit_class, hold_id, expires_at, booked_at
FROM transfer WHERE (tx_id, leg) > (:tx_id, :leg) AND tx_id < :before
ORDER BY tx_id, leg LIMIT :limit;

-- name: export_settlements
SELECT deal_id, tx_id, event_id, asset, gross_minor, platform_fee_minor, protocol_fee_minor,
  net_minor, components, fee_policy, fee_policy_hash, tier, volume_minor, seller_id, buyer_id,
  settled_at
FROM settlement WHERE tx_id > :tx_id AND tx_id < :before ORDER BY tx_id LIMIT :limit;

-- name: export_payouts
SELECT payout_id, deal_id, agent_id, asset, amount_minor, rail, destination_id, state, refusals,
  effect_id, hold_id, waiting_for, waiting_since, next_check_at, attempts, rail_ref, created_at,
  updated_at
FROM payout WHERE payout_id > :payout_id AND payout_id < :before ORDER BY payout_id LIMIT :limit;

-- In log order, which is commit order; an event that has no index yet is in the next export.
-- name: export_events
SELECT l.log_index, e.deal_id, e.version, e.event_id, e.event_type, e.actor_id, e.actor_role,
  e.counterparty_id, e.amount_minor, e.asset, e.source, e.timestamp, e.payload, e.actor_signature,
  e.prev_hash, e.hash
FROM log_entry AS l JOIN event AS e ON e.deal_id = l.deal_id AND e.version = l.version
WHERE l.log_index > :log_index ORDER BY l.log_index LIMIT :limit;
