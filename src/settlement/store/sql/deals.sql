-- Reads of one deal for the routes: found by id, bounded by the deal.

-- name: deals_get
SELECT deal_id, state, version, head_hash, asset, open, seller_label, seller_id, buyer_label,
  buyer_id, vertical, sku_id, proof_type, proof_hash, scope_summary, scope_lock_hash, scope_digest,
  policy, policy_hash, price_minor, quote_digest, quote_expires_at, gross_minor, fee_policy,
  fee_policy_hash, tier, volume_minor, approval_authority, approval_mode, approved_by, mandate_id,
  acceptance_id, acceptance_state, funding, funding_rail, charge_refusals, intent_id, created_at,
  updated_at, settled_at
FROM deal WHERE deal_id = :deal_id;

-- name: deals_events_page
SELECT e.deal_id, e.version, e.event_id, e.event_type, e.actor_id, e.actor_role,
  e.counterparty_id, e.amount_minor, e.asset, e.source, e.timestamp, e.payload, e.actor_signature,
  e.prev_hash, e.hash, l.log_index
FROM event AS e LEFT JOIN log_entry AS l ON l.deal_id = e.deal_id AND l.version = e.version
WHERE e.deal_id = :deal_id AND e.version >= :from_version
ORDER BY e.version LIMIT :limit;

-- name: deals_transfers
SELECT transfer_id, tx_id, leg, deal_id, event_id, kind, phase, asset, amount_minor, debit_ref,
  debit_class, credit_ref, credit_class, hold_id, expires_at, booked_at
FROM transfer WHERE deal_id = :deal_id ORDER BY booked_at, tx_id, leg;

-- name: deals_txs
SELECT tx_id, deal_id, event_id, settles, tx_hash, booked_at
FROM ledger_tx WHERE deal_id = :deal_id ORDER BY booked_at, tx_id;

-- name: deals_settlement
SELECT deal_id, tx_id, event_id, asset, gross_minor, platform_fee_minor, protocol_fee_minor,
  net_minor, components, fee_policy, fee_policy_hash, tier, volume_minor, seller_id, buyer_id,
  settled_at
FROM settlement WHERE deal_id = :deal_id;

-- name: deals_payees
SELECT deal_id, position, agent_id, role, share, fee_minor, net_minor
FROM settlement_payee WHERE deal_id = :deal_id ORDER BY position;

-- name: deals_payouts
SELECT payout_id, deal_id, agent_id, asset, amount_minor, rail, destination_id, state, refusals,
  effect_id, hold_id, waiting_for, waiting_since, next_check_at, attempts, rail_ref, created_at,
  updated_at
FROM payout WHERE deal_id = :deal_id ORDER BY payout_id;

-- name: deals_effects
SELECT effect_id, obligation_key, kind, deal_id, rail, asset, amount_minor, state, fence,
  destination, plan, claim_operation, claim_key, payout_id, rail_ref, refusal, ask_count, sent_at,
  asked_at, created_at, updated_at
FROM effect WHERE deal_id = :deal_id ORDER BY created_at, effect_id;

-- name: deals_party_any
SELECT role FROM party WHERE deal_id = :deal_id AND agent_id = :agent_id LIMIT 1;

-- name: deals_outbox_pending
SELECT count(*) AS pending FROM outbox
WHERE deal_id = :deal_id AND status IN ('pending', 'parked');

-- name: deals_escrow
-- What is kept for one deal.
SELECT ref, asset, account_class, guard, holder, deal_id, debits_posted, credits_posted,
  debits_held, credits_held, version, opened_at, closed_at
FROM account WHERE ref = :ref AND asset = :asset;
