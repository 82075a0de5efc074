-- Write sets on SQLite: one row a statement, run for many rows at a time (no arrays here). Where
-- parameters first appear is the place of the field in its row: rows are bound by position.

-- name: agent_insert
INSERT INTO agent (agent_id, name, agent_type, capabilities, description, api_endpoint,
  owner_email, status, operator, created_at, verifier)
VALUES (:agent_id, :name, :agent_type, :capabilities, :description, :api_endpoint, :owner_email,
  :status, :operator, :created_at, :verifier);

-- name: api_key_insert
INSERT INTO api_key (key_prefix, key_id, agent_id, name, digest, scopes, status, created_at,
  expires_at, grace_until, rotated_from, revoked_at, revoke_reason)
VALUES (:key_prefix, :key_id, :agent_id, :name, :digest, :scopes, :status, :created_at,
  :expires_at, :grace_until, :rotated_from, :revoked_at, :revoke_reason);

-- name: api_key_update
UPDATE api_key SET
  status = :status, grace_until = :grace_until, revoked_at = :revoked_at,
  revoke_reason = :revoke_reason
WHERE key_id = :key_id AND status = :expected_status;

-- name: actor_key_insert
INSERT INTO actor_key (key_id, actor_id, actor_type, key_class, public_key_base64, status,
  issued_at, revoked_at)
VALUES (:key_id, :actor_id, :actor_type, :key_class, :public_key_base64, :status,
  :issued_at, :revoked_at);

-- name: event_insert
INSERT INTO event (deal_id, version, event_id, event_type, actor_id, actor_role, counterparty_id,
  amount_minor, asset, source, timestamp, payload, actor_signature, prev_hash, hash)
VALUES (:deal_id, :version, :event_id, :event_type, :actor_id, :actor_role, :counterparty_id,
  :amount_minor, :asset, :source, :timestamp, :payload, :actor_signature, :prev_hash, :hash);

-- name: event_pending_insert
INSERT INTO event_pending (deal_id, version)
VALUES (:deal_id, :version);

-- name: deal_insert
INSERT INTO deal (deal_id, state, version, head_hash, asset, open, seller_label, seller_id,
  buyer_label, buyer_id, vertical, sku_id, proof_type, proof_hash, scope_summary, scope_lock_hash,
  scope_digest, policy, policy_hash, price_minor, quote_digest, quote_expires_at, gross_minor,
  fee_policy, fee_policy_hash, tier, volume_minor, approval_authority, approval_mode, approved_by,
  mandate_id, acceptance_id, acceptance_state, funding, funding_rail, charge_refusals, intent_id,
  created_at, updated_at, settled_at)
VALUES (:deal_id, :state, :version, :head_hash, :asset, :open, :seller_label, :seller_id,
  :buyer_label, :buyer_id, :vertical, :sku_id, :proof_type, :proof_hash, :scope_summary,
  :scope_lock_hash, :scope_digest, :policy, :policy_hash, :price_minor, :quote_digest,
  :quote_expires_at, :gross_minor, :fee_policy, :fee_policy_hash, :tier, :volume_minor,
  :approval_authority, :approval_mode, :approved_by, :mandate_id, :acceptance_id,
  :acceptance_state, :funding, :funding_rail, :charge_refusals, :intent_id, :created_at,
  :updated_at, :settled_at);

-- name: party_insert
INSERT INTO party (deal_id, agent_id, role)
VALUES (:deal_id, :agent_id, :role)
ON CONFLICT (deal_id, agent_id, role) DO NOTHING;

-- name: proof_insert
INSERT INTO proof (deal_id, n, proof_type, proof_hash, proof_data, attachment_url,
  parent_proof_ids, agent, created_at)
VALUES (:deal_id, :n, :proof_type, :proof_hash, :proof_data, :attachment_url, :parent_proof_ids,
  :agent, :created_at);

-- name: receipt_insert
INSERT INTO receipt (receipt_id, deal_id, proof_hash, provider, provider_type, proof_type,
  verified, confidence, verification_hash, receipt_hash, receipt_digest, checks_run, authority,
  event_id, created_at)
VALUES (:receipt_id, :deal_id, :proof_hash, :provider, :provider_type, :proof_type, :verified,
  :confidence, :verification_hash, :receipt_hash, :receipt_digest, :checks_run, :authority,
  :event_id, :created_at);

-- name: account_insert
INSERT INTO account (ref, asset, account_class, guard, holder, deal_id, debits_posted,
  credits_posted, debits_held, credits_held, version, opened_at, closed_at)
VALUES (:ref, :asset, :account_class, :guard, :holder, :deal_id, :debits_posted, :credits_posted,
  :debits_held, :credits_held, :version, :opened_at, :closed_at);

-- name: ledger_tx_insert
INSERT INTO ledger_tx (tx_id, deal_id, event_id, settles, tx_hash, booked_at)
VALUES (:tx_id, :deal_id, :event_id, :settles, :tx_hash, :booked_at);

-- name: transfer_insert
INSERT INTO transfer (transfer_id, tx_id, leg, deal_id, event_id, kind, phase, asset,
  amount_minor, debit_ref, debit_class, credit_ref, credit_class, hold_id, expires_at, booked_at)
VALUES (:transfer_id, :tx_id, :leg, :deal_id, :event_id, :kind, :phase, :asset, :amount_minor,
  :debit_ref, :debit_class, :credit_ref, :credit_class, :hold_id, :expires_at, :booked_at);

-- name: settlement_payee_insert
INSERT INTO settlement_payee (deal_id, position, agent_id, role, share, fee_minor, net_minor)
VALUES (:deal_id, :position, :agent_id, :role, :share, :fee_minor, :net_minor);

-- name: settlement_insert
INSERT INTO settlement (deal_id, tx_id, event_id, asset, gross_minor, platform_fee_minor,
  protocol_fee_minor, net_minor, components, fee_policy, fee_policy_hash, tier, volume_minor,
  seller_id, buyer_id, settled_at)
VALUES (:deal_id, :tx_id, :event_id, :asset, :gross_minor, :platform_fee_minor,
  :protocol_fee_minor, :net_minor, :components, :fee_policy, :fee_policy_hash, :tier,
  :volume_minor, :seller_id, :buyer_id, :settled_at);

-- name: volume_entry_insert
INSERT INTO volume_entry (agent_id, asset, n, at, delta_minor, total_minor, deal_id)
VALUES (:agent_id, :asset, :n, :at, :delta_minor, :total_minor, :deal_id);

-- name: destination_insert
INSERT INTO destination (destination_id, owner_id, rail, address, metadata, auto, status,
  created_at)
VALUES (:destination_id, :owner_id, :rail, :address, :metadata, :auto, :status, :created_at);

-- name: effect_insert
INSERT INTO effect (effect_id, obligation_key, kind, deal_id, rail, asset, amount_minor, state,
  fence, destination, plan, claim_operation, claim_key, payout_id, rail_ref, refusal, ask_count,
  sent_at, asked_at, created_at, updated_at)
VALUES (:effect_id, :obligation_key, :kind, :deal_id, :rail, :asset, :amount_minor, :state,
  :fence, :destination, :plan, :claim_operation, :claim_key, :payout_id, :rail_ref, :refusal,
  :ask_count, :sent_at, :asked_at, :created_at, :updated_at);

-- name: payout_insert
INSERT INTO payout (payout_id, deal_id, agent_id, asset, amount_minor, rail, destination_id,
  state, refusals, effect_id, hold_id, waiting_for, waiting_since, next_check_at, attempts,
  rail_ref, created_at, updated_at)
VALUES (:payout_id, :deal_id, :agent_id, :asset, :amount_minor, :rail, :destination_id, :state,
  :refusals, :effect_id, :hold_id, :waiting_for, :waiting_since, :next_check_at, :attempts,
  :rail_ref, :created_at, :updated_at);

-- name: job_insert
INSERT INTO job (job_id, job_type, deal_id, payload, dedup_key, status, attempts, max_attempts,
  lost_leases, run_at_us, lease_owner, lease_fence, lease_expires_us, last_error, result,
  created_at, updated_at)
VALUES (:job_id, :job_type, :deal_id, :payload, :dedup_key, :status, :attempts, :max_attempts,
  :lost_leases, :run_at_us, :lease_owner, :lease_fence, :lease_expires_us, :last_error, :result,
  :created_at, :updated_at)
ON CONFLICT (job_type, dedup_key) DO NOTHING;

-- name: outbox_insert
INSERT INTO outbox (outbox_id, deal_id, event_id, event_type, actor_id, counterparty_id, payload,
  source, timestamp)
VALUES (:outbox_id, :deal_id, :event_id, :event_type, :actor_id, :counterparty_id, :payload,
  :source, :timestamp);

-- name: claim_insert
INSERT INTO claim (scope, operation, key, key_digest, principal, deal_id, args, fingerprint,
  state, phase, fence, outcome, target_scope, target_key, first_seen, finished_at)
VALUES (:scope, :operation, :key, :key_digest, :principal, :deal_id, :args, :fingerprint, :state,
  :phase, :fence, :outcome, :target_scope, :target_key, :first_seen, :finished_at);

-- name: deal_update
UPDATE deal SET
  state = :state, version = :version, head_hash = :head_hash, asset = :asset, open = :open,
  seller_label = :seller_label, seller_id = :seller_id, buyer_label = :buyer_label,
  buyer_id = :buyer_id, vertical = :vertical, sku_id = :sku_id, proof_type = :proof_type,
  proof_hash = :proof_hash, scope_summary = :scope_summary, scope_lock_hash = :scope_lock_hash,
  scope_digest = :scope_digest, policy = :policy, policy_hash = :policy_hash,
  price_minor = :price_minor, quote_digest = :quote_digest, quote_expires_at = :quote_expires_at,
  gross_minor = :gross_minor, fee_policy = :fee_policy, fee_policy_hash = :fee_policy_hash,
  tier = :tier, volume_minor = :volume_minor, approval_authority = :approval_authority,
  approval_mode = :approval_mode, approved_by = :approved_by, mandate_id = :mandate_id,
  acceptance_id = :acceptance_id, acceptance_state = :acceptance_state, funding = :funding,
  funding_rail = :funding_rail, charge_refusals = :charge_refusals, intent_id = :intent_id,
  updated_at = :updated_at, settled_at = :settled_at
WHERE deal_id = :deal_id;

-- name: acceptance_insert
INSERT INTO acceptance (acceptance_id, deal_id, downstream_action, status, submitted_by, proof_hash,
  scope_lock_hash, review_deadline, reviewer_id, reason, checks_passed, checks_failed, created_at,
  decided_at)
VALUES (:acceptance_id, :deal_id, :downstream_action, :status, :submitted_by, :proof_hash,
  :scope_lock_hash, :review_deadline, :reviewer_id, :reason, :checks_passed, :checks_failed,
  :created_at, :decided_at);

-- name: acceptance_update
UPDATE acceptance SET status = :status, reviewer_id = :reviewer_id, reason = :reason,
  checks_passed = :checks_passed, checks_failed = :checks_failed, decided_at = :decided_at
WHERE acceptance_id = :acceptance_id AND status = 'pending';

-- name: mandate_insert
INSERT INTO mandate (mandate_id, buyer_id, asset, max_amount_minor, allowed_verticals,
  confidence_threshold, reserve_minor, status, expires_at, created_at, revoked_at)
VALUES (:mandate_id, :buyer_id, :asset, :max_amount_minor, :allowed_verticals,
  :confidence_threshold, :reserve_minor, :status, :expires_at, :created_at, :revoked_at);

-- name: mandate_update
UPDATE mandate SET status = :status, revoked_at = :revoked_at WHERE mandate_id = :mandate_id;

-- name: effect_update
UPDATE effect SET
  state = :state, fence = :fence, destination = :destination, plan = :plan,
  claim_operation = :claim_operation, claim_key = :claim_key, payout_id = :payout_id,
  rail_ref = :rail_ref, refusal = :refusal, ask_count = :ask_count, sent_at = :sent_at,
  asked_at = :asked_at, updated_at = :updated_at
WHERE effect_id = :effect_id AND fence = :expected_fence AND state = :expected_state;

-- name: payout_update
UPDATE payout SET
  amount_minor = :amount_minor, rail = :rail, destination_id = :destination_id, state = :state, refusals = :refusals,
  effect_id = :effect_id, hold_id = :hold_id, waiting_for = :waiting_for,
  waiting_since = :waiting_since, next_check_at = :next_check_at, attempts = :attempts,
  rail_ref = :rail_ref, updated_at = :updated_at
WHERE payout_id = :payout_id;

-- name: claim_finish
UPDATE claim SET state = 'done', outcome = :outcome, finished_at = :finished_at
WHERE scope = :scope AND operation = :operation AND key = :key AND state = 'running';

-- name: claim_inherit
UPDATE claim SET state = 'done', outcome = :outcome, finished_at = :finished_at,
  target_scope = NULL, target_key = NULL
WHERE target_scope = :scope AND operation = :operation AND target_key = :key;

-- name: claim_delete
DELETE FROM claim
WHERE scope = :scope AND operation = :operation AND key = :key AND state = 'running';
