-- Writes that must be refused, tried on a scratch database by `settlement prove-mover`. `prove_leg`
-- is the control: the same row without anything wrong, which must be accepted.

-- A tx that is no settlement: the payment into the escrow.
-- name: prove_base
SELECT t.tx_id, t.leg, t.deal_id, t.event_id, t.kind, t.phase, t.asset, t.amount_minor,
  t.debit_ref, t.debit_class, t.credit_ref, t.credit_class, t.hold_id, t.expires_at, t.booked_at
FROM transfer AS t JOIN ledger_tx AS x ON x.tx_id = t.tx_id
WHERE t.deal_id = :deal_id AND t.kind = 'charge' AND x.settles IS NULL
ORDER BY t.tx_id DESC, t.leg LIMIT 1;

-- name: prove_leg
INSERT INTO transfer (transfer_id, tx_id, leg, deal_id, event_id, kind, phase, asset, amount_minor,
  debit_ref, debit_class, credit_ref, credit_class, hold_id, expires_at, booked_at)
VALUES (:transfer_id, :tx_id, :leg, :deal_id, :event_id, :kind, :phase, :asset, :amount_minor,
  :debit_ref, :debit_class, :credit_ref, :credit_class, :hold_id, :expires_at, :booked_at);

-- name: prove_settling_tx
SELECT tx_id, event_id FROM settlement WHERE deal_id = :deal_id;

-- name: prove_rule_between_agents
INSERT INTO movement_rule (kind, debit_class, credit_class) VALUES ('gift', 'agent', 'agent');

-- name: prove_transfer_changed
UPDATE transfer SET amount_minor = amount_minor + 1 WHERE deal_id = :deal_id;

-- name: prove_transfer_deleted
DELETE FROM transfer WHERE deal_id = :deal_id;

-- name: prove_tx_changed
UPDATE ledger_tx SET booked_at = booked_at WHERE deal_id = :deal_id;

-- name: prove_event_changed
UPDATE event SET payload = '{}' WHERE deal_id = :deal_id;

-- name: prove_event_deleted
DELETE FROM event WHERE deal_id = :deal_id;

-- name: prove_log_changed
UPDATE log_entry SET deal_id = 'deal_other' WHERE deal_id = :deal_id;

-- name: prove_head_changed
UPDATE tree_head SET signature = '' WHERE tree_size >= 0;

-- name: prove_receipt_changed
UPDATE receipt SET verified = 0 WHERE deal_id = :deal_id;

-- name: prove_settlement_changed
UPDATE settlement SET net_minor = net_minor WHERE deal_id = :deal_id;

-- name: prove_settlement_again
INSERT INTO settlement (deal_id, tx_id, event_id, asset, gross_minor, platform_fee_minor,
  protocol_fee_minor, net_minor, components, fee_policy, fee_policy_hash, tier, volume_minor,
  seller_id, buyer_id, settled_at)
SELECT deal_id, :tx_id, :event_id, asset, gross_minor, platform_fee_minor, protocol_fee_minor,
  net_minor, components, fee_policy, fee_policy_hash, tier, volume_minor, seller_id, buyer_id,
  settled_at
FROM settlement WHERE deal_id = :deal_id;

-- name: prove_event_added
INSERT INTO event (deal_id, version, event_id, event_type, actor_id, actor_role, counterparty_id,
  amount_minor, asset, source, timestamp, payload, actor_signature, prev_hash, hash)
SELECT deal_id, version + :ahead, :event_id, event_type, actor_id, actor_role, counterparty_id,
  amount_minor, asset, source, timestamp, payload, actor_signature, :prev_hash, :hash
FROM event WHERE deal_id = :deal_id ORDER BY version DESC LIMIT 1;

-- name: prove_last_event
SELECT event_id, hash, prev_hash FROM event WHERE deal_id = :deal_id ORDER BY version DESC LIMIT 1;

-- name: prove_effect_stale
UPDATE effect SET fence = fence - 1 WHERE deal_id = :deal_id AND fence > 0;

-- name: prove_effect_reopened
UPDATE effect SET state = 'planned' WHERE deal_id = :deal_id AND state = 'confirmed';

-- name: prove_effect_again
INSERT INTO effect (effect_id, obligation_key, kind, deal_id, rail, asset, amount_minor, state,
  fence, destination, plan, claim_operation, claim_key, payout_id, rail_ref, refusal, ask_count,
  sent_at, asked_at, created_at, updated_at)
SELECT :effect_id, obligation_key, kind, deal_id, rail, asset, amount_minor, 'planned', 0,
  destination, plan, claim_operation, claim_key, payout_id, NULL, NULL, 0, NULL, NULL, created_at,
  updated_at
FROM effect WHERE deal_id = :deal_id LIMIT 1;

-- name: prove_account_overdrawn
UPDATE account SET debits_posted = credits_posted + 1
WHERE ref = :ref AND debits_held = 0;

-- name: prove_deal_rewound
UPDATE deal SET version = version - 1 WHERE deal_id = :deal_id;

-- Parties who have an account of their own, the seller first.
-- name: prove_parties
SELECT p.agent_id FROM party AS p JOIN account AS a ON a.ref = 'entity:' || p.agent_id
WHERE p.deal_id = :deal_id ORDER BY p.role DESC, p.agent_id;
