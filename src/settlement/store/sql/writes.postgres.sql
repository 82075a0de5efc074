-- Write sets on PostgreSQL: one statement a table, a list per column. Row i is element i of each.

-- name: agent_insert
INSERT INTO agent (agent_id, name, agent_type, capabilities, description, api_endpoint,
  owner_email, status, operator, created_at)
SELECT * FROM unnest(:agent_id::text[], :name::text[], :agent_type::text[], :capabilities::text[],
  :description::text[], :api_endpoint::text[], :owner_email::text[], :status::text[],
  :operator::bigint[], :created_at::text[]);

-- name: api_key_insert
INSERT INTO api_key (key_prefix, key_id, agent_id, name, digest, scopes, status, created_at,
  expires_at, grace_until, rotated_from, revoked_at)
SELECT * FROM unnest(:key_prefix::text[], :key_id::text[], :agent_id::text[], :name::text[],
  :digest::text[], :scopes::text[], :status::text[], :created_at::text[], :expires_at::text[],
  :grace_until::text[], :rotated_from::text[], :revoked_at::text[]);

-- name: event_insert
INSERT INTO event (deal_id, version, event_id, event_type, actor_id, actor_role, counterparty_id,
  amount_minor, asset, source, timestamp, payload, actor_signature, prev_hash, hash)
SELECT * FROM unnest(:deal_id::text[], :version::bigint[], :event_id::text[], :event_type::text[],
  :actor_id::text[], :actor_role::text[], :counterparty_id::text[], :amount_minor::bigint[],
  :asset::text[], :source::text[], :timestamp::text[], :payload::text[], :actor_signature::text[],
  :prev_hash::text[], :hash::text[]);

-- name: event_pending_insert
INSERT INTO event_pending (deal_id, version)
SELECT * FROM unnest(:deal_id::text[], :version::bigint[]);

-- name: deal_insert
INSERT INTO deal (deal_id, state, version, head_hash, asset, open, seller_label, seller_id,
  buyer_label, buyer_id, vertical, sku_id, proof_type, proof_hash, scope_summary, scope_lock_hash,
  scope_digest, policy, policy_hash, price_minor, quote_digest, quote_expires_at, gross_minor,
  fee_policy, fee_policy_hash, tier, volume_minor, approval_authority, approval_mode, approved_by,
  mandate_id, acceptance_id, acceptance_state, funding, funding_rail, charge_refusals, intent_id,
  created_at, updated_at, settled_at)
SELECT * FROM unnest(:deal_id::text[], :state::text[], :version::bigint[], :head_hash::text[],
  :asset::text[], :open::bigint[], :seller_label::text[], :seller_id::text[],
  :buyer_label::text[], :buyer_id::text[], :vertical::text[], :sku_id::text[],
  :proof_type::text[], :proof_hash::text[], :scope_summary::text[], :scope_lock_hash::text[],
  :scope_digest::text[], :policy::text[], :policy_hash::text[], :price_minor::bigint[],
  :quote_digest::text[], :quote_expires_at::text[], :gross_minor::bigint[], :fee_policy::text[],
  :fee_policy_hash::text[], :tier::text[], :volume_minor::bigint[], :approval_authority::text[],
  :approval_mode::text[], :approved_by::text[], :mandate_id::text[], :acceptance_id::text[],
  :acceptance_state::text[], :funding::text[], :funding_rail::text[], :charge_refusals::bigint[],
  :intent_id::text[], :created_at::text[], :updated_at::text[], :settled_at::text[]);

-- name: party_insert
INSERT INTO party (deal_id, agent_id, role)
SELECT * FROM unnest(:deal_id::text[], :agent_id::text[], :role::text[])
ON CONFLICT (deal_id, agent_id, role) DO NOTHING;

-- name: proof_insert
INSERT INTO proof (deal_id, n, proof_type, proof_hash, proof_data, attachment_url,
  parent_proof_ids, agent, created_at)
SELECT * FROM unnest(:deal_id::text[], :n::bigint[], :proof_type::text[], :proof_hash::text[],
  :proof_data::text[], :attachment_url::text[], :parent_proof_ids::text[], :agent::text[],
  :created_at::text[]);

-- name: receipt_insert
INSERT INTO receipt (receipt_id, deal_id, proof_hash, provider, provider_type, proof_type,
  verified, confidence, verification_hash, receipt_hash, receipt_digest, checks_run, authority,
  event_id, created_at)
SELECT * FROM unnest(:receipt_id::text[], :deal_id::text[], :proof_hash::text[],
  :provider::text[], :provider_type::text[], :proof_type::text[], :verified::bigint[],
  :confidence::text[], :verification_hash::text[], :receipt_hash::text[], :receipt_digest::text[],
  :checks_run::text[], :authority::text[], :event_id::text[], :created_at::text[]);

-- name: account_insert
INSERT INTO account (ref, asset, account_class, guard, holder, deal_id, debits_posted,
  credits_posted, debits_held, credits_held, version, opened_at, closed_at)
SELECT * FROM unnest(:ref::text[], :asset::text[], :account_class::text[], :guard::text[],
  :holder::text[], :deal_id::text[], :debits_posted::bigint[], :credits_posted::bigint[],
  :debits_held::bigint[], :credits_held::bigint[], :version::bigint[], :opened_at::text[],
  :closed_at::text[]);

-- name: ledger_tx_insert
INSERT INTO ledger_tx (tx_id, deal_id, event_id, settles, tx_hash, booked_at)
SELECT * FROM unnest(:tx_id::text[], :deal_id::text[], :event_id::text[], :settles::text[],
  :tx_hash::text[], :booked_at::text[]);

-- name: transfer_insert
INSERT INTO transfer (transfer_id, tx_id, leg, deal_id, event_id, kind, phase, asset,
  amount_minor, debit_ref, debit_class, credit_ref, credit_class, hold_id, expires_at, booked_at)
SELECT * FROM unnest(:transfer_id::text[], :tx_id::text[], :leg::bigint[], :deal_id::text[],
  :event_id::text[], :kind::text[], :phase::text[], :asset::text[], :amount_minor::bigint[],
  :debit_ref::text[], :debit_class::text[], :credit_ref::text[], :credit_class::text[],
  :hold_id::text[], :expires_at::text[], :booked_at::text[]);

-- name: settlement_payee_insert
INSERT INTO settlement_payee (deal_id, position, agent_id, role, share, fee_minor, net_minor)
SELECT * FROM unnest(:deal_id::text[], :position::bigint[], :agent_id::text[], :role::text[],
  :share::text[], :fee_minor::bigint[], :net_minor::bigint[]);

-- name: settlement_insert
INSERT INTO settlement (deal_id, tx_id, event_id, asset, gross_minor, platform_fee_minor,
  protocol_fee_minor, net_minor, components, fee_policy, fee_policy_hash, tier, volume_minor,
  seller_id, buyer_id, settled_at)
SELECT * FROM unnest(:deal_id::text[], :tx_id::text[], :event_id::text[], :asset::text[],
  :gross_minor::bigint[], :platform_fee_minor::bigint[], :protocol_fee_minor::bigint[],
  :net_minor::bigint[], :components::text[], :fee_policy::text[], :fee_policy_hash::text[],
  :tier::text[], :volume_minor::bigint[], :seller_id::text[], :buyer_id::text[],
  :settled_at::text[]);

-- name: volume_entry_insert
INSERT INTO volume_entry (agent_id, asset, n, at, delta_minor, total_minor, deal_id)
SELECT * FROM unnest(:agent_id::text[], :asset::text[], :n::bigint[], :at::text[],
  :delta_minor::bigint[], :total_minor::bigint[], :deal_id::text[]);

-- name: destination_insert
INSERT INTO destination (destination_id, owner_id, rail, address, metadata, auto, status,
  created_at)
SELECT * FROM unnest(:destination_id::text[], :owner_id::text[], :rail::text[], :address::text[],
  :metadata::text[], :auto::bigint[], :status::text[], :created_at::text[]);

-- name: effect_insert
INSERT INTO effect (effect_id, obligation_key, kind, deal_id, rail, asset, amount_minor, state,
  fence, destination, plan, claim_operation, claim_key, payout_id, rail_ref, refusal, ask_count,
  sent_at, asked_at, created_at, updated_at)
SELECT * FROM unnest(:effect_id::text[], :obligation_key::text[], :kind::text[], :deal_id::text[],
  :rail::text[], :asset::text[], :amount_minor::bigint[], :state::text[], :fence::bigint[],
  :destination::text[], :plan::text[], :claim_operation::text[], :claim_key::text[],
  :payout_id::text[], :rail_ref::text[], :refusal::text[], :ask_count::bigint[], :sent_at::text[],
  :asked_at::text[], :created_at::text[], :updated_at::text[]);

-- name: payout_insert
INSERT INTO payout (payout_id, deal_id, agent_id, asset, amount_minor, rail, destination_id,
  state, refusals, effect_id, hold_id, waiting_for, waiting_since, next_check_at, attempts,
  rail_ref, created_at, updated_at)
SELECT * FROM unnest(:payout_id::text[], :deal_id::text[], :agent_id::text[], :asset::text[],
  :amount_minor::bigint[], :rail::text[], :destination_id::text[], :state::text[],
  :refusals::bigint[], :effect_id::text[], :hold_id::text[], :waiting_for::text[],
  :waiting_since::text[], :next_check_at::text[], :attempts::bigint[], :rail_ref::text[],
  :created_at::text[], :updated_at::text[]);

-- name: job_insert
INSERT INTO job (job_id, job_type, deal_id, payload, dedup_key, status, attempts, max_attempts,
  lost_leases, run_at_us, lease_owner, lease_fence, lease_expires_us, last_error, result,
  created_at, updated_at)
SELECT * FROM unnest(:job_id::text[], :job_type::text[], :deal_id::text[], :payload::text[],
  :dedup_key::text[], :status::text[], :attempts::bigint[], :max_attempts::bigint[],
  :lost_leases::bigint[], :run_at_us::bigint[], :lease_owner::text[], :lease_fence::bigint[],
  :lease_expires_us::bigint[], :last_error::text[], :result::text[], :created_at::text[],
  :updated_at::text[])
ON CONFLICT (job_type, dedup_key) DO NOTHING;

-- name: outbox_insert
INSERT INTO outbox (outbox_id, deal_id, event_id, event_type, actor_id, counterparty_id, payload,
  source, timestamp)
SELECT * FROM unnest(:outbox_id::text[], :deal_id::text[], :event_id::text[], :event_type::text[],
  :actor_id::text[], :counterparty_id::text[], :payload::text[], :source::text[],
  :timestamp::text[]);

-- name: claim_insert
INSERT INTO claim (scope, operation, key, key_digest, principal, deal_id, args, fingerprint,
  state, phase, fence, outcome, target_scope, target_key, first_seen, finished_at)
SELECT * FROM unnest(:scope::text[], :operation::text[], :key::text[], :key_digest::text[],
  :principal::text[], :deal_id::text[], :args::text[], :fingerprint::text[], :state::text[],
  :phase::text[], :fence::bigint[], :outcome::text[], :target_scope::text[], :target_key::text[],
  :first_seen::text[], :finished_at::text[]);

-- name: deal_update
UPDATE deal AS t SET
  state = n.state, version = n.version, head_hash = n.head_hash, asset = n.asset, open = n.open,
  seller_label = n.seller_label, seller_id = n.seller_id, buyer_label = n.buyer_label,
  buyer_id = n.buyer_id, vertical = n.vertical, sku_id = n.sku_id, proof_type = n.proof_type,
  proof_hash = n.proof_hash, scope_summary = n.scope_summary, scope_lock_hash = n.scope_lock_hash,
  scope_digest = n.scope_digest, policy = n.policy, policy_hash = n.policy_hash,
  price_minor = n.price_minor, quote_digest = n.quote_digest,
  quote_expires_at = n.quote_expires_at, gross_minor = n.gross_minor, fee_policy = n.fee_policy,
  fee_policy_hash = n.fee_policy_hash, tier = n.tier, volume_minor = n.volume_minor,
  approval_authority = n.approval_authority, approval_mode = n.approval_mode,
  approved_by = n.approved_by, mandate_id = n.mandate_id, acceptance_id = n.acceptance_id,
  acceptance_state = n.acceptance_state, funding = n.funding, funding_rail = n.funding_rail,
  charge_refusals = n.charge_refusals, intent_id = n.intent_id, updated_at = n.updated_at,
  settled_at = n.settled_at
FROM unnest(:state::text[], :version::bigint[], :head_hash::text[], :asset::text[],
  :open::bigint[], :seller_label::text[], :seller_id::text[], :buyer_label::text[],
  :buyer_id::text[], :vertical::text[], :sku_id::text[], :proof_type::text[], :proof_hash::text[],
  :scope_summary::text[], :scope_lock_hash::text[], :scope_digest::text[], :policy::text[],
  :policy_hash::text[], :price_minor::bigint[], :quote_digest::text[], :quote_expires_at::text[],
  :gross_minor::bigint[], :fee_policy::text[], :fee_policy_hash::text[], :tier::text[],
  :volume_minor::bigint[], :approval_authority::text[], :approval_mode::text[],
  :approved_by::text[], :mandate_id::text[], :acceptance_id::text[], :acceptance_state::text[],
  :funding::text[], :funding_rail::text[], :charge_refusals::bigint[], :intent_id::text[],
  :updated_at::text[], :settled_at::text[], :deal_id::text[])
  AS n (state, version, head_hash, asset, open, seller_label, seller_id, buyer_label, buyer_id,
  vertical, sku_id, proof_type, proof_hash, scope_summary, scope_lock_hash, scope_digest, policy,
  policy_hash, price_minor, quote_digest, quote_expires_at, gross_minor, fee_policy,
  fee_policy_hash, tier, volume_minor, approval_authority, approval_mode, approved_by, mandate_id,
  acceptance_id, acceptance_state, funding, funding_rail, charge_refusals, intent_id, updated_at,
  settled_at, deal_id)
WHERE t.deal_id = n.deal_id;

-- name: effect_update
UPDATE effect AS t SET
  state = n.state, fence = n.fence, destination = n.destination, plan = n.plan,
  claim_operation = n.claim_operation, claim_key = n.claim_key, payout_id = n.payout_id,
  rail_ref = n.rail_ref, refusal = n.refusal, ask_count = n.ask_count, sent_at = n.sent_at,
  asked_at = n.asked_at, updated_at = n.updated_at
FROM unnest(:state::text[], :fence::bigint[], :destination::text[], :plan::text[],
  :claim_operation::text[], :claim_key::text[], :payout_id::text[], :rail_ref::text[],
  :refusal::text[], :ask_count::bigint[], :sent_at::text[], :asked_at::text[],
  :updated_at::text[], :effect_id::text[], :expected_fence::bigint[], :expected_state::text[])
  AS n (state, fence, destination, plan, claim_operation, claim_key, payout_id, rail_ref, refusal,
  ask_count, sent_at, asked_at, updated_at, effect_id, expected_fence, expected_state)
WHERE t.effect_id = n.effect_id AND t.fence = n.expected_fence
  AND t.state = n.expected_state;

-- name: payout_update
UPDATE payout AS t SET
  rail = n.rail, destination_id = n.destination_id, state = n.state, refusals = n.refusals,
  effect_id = n.effect_id, hold_id = n.hold_id, waiting_for = n.waiting_for,
  waiting_since = n.waiting_since, next_check_at = n.next_check_at, attempts = n.attempts,
  rail_ref = n.rail_ref, updated_at = n.updated_at
FROM unnest(:rail::text[], :destination_id::text[], :state::text[], :refusals::bigint[],
  :effect_id::text[], :hold_id::text[], :waiting_for::text[], :waiting_since::text[],
  :next_check_at::text[], :attempts::bigint[], :rail_ref::text[], :updated_at::text[],
  :payout_id::text[])
  AS n (rail, destination_id, state, refusals, effect_id, hold_id, waiting_for, waiting_since,
  next_check_at, attempts, rail_ref, updated_at, payout_id)
WHERE t.payout_id = n.payout_id;

-- name: claim_finish
UPDATE claim AS t SET state = 'done', outcome = n.outcome, finished_at = n.finished_at
FROM unnest(:outcome::text[], :finished_at::text[], :scope::text[], :operation::text[],
    :key::text[])
  AS n (outcome, finished_at, scope, operation, key)
WHERE t.scope = n.scope AND t.operation = n.operation AND t.key = n.key AND t.state = 'running';

-- name: claim_inherit
UPDATE claim AS t SET state = 'done', outcome = n.outcome, finished_at = n.finished_at,
  target_scope = NULL, target_key = NULL
FROM unnest(:outcome::text[], :finished_at::text[], :scope::text[], :operation::text[],
    :key::text[])
  AS n (outcome, finished_at, scope, operation, key)
WHERE t.target_scope = n.scope AND t.operation = n.operation AND t.target_key = n.key;

-- name: claim_delete
DELETE FROM claim AS t USING unnest(:scope::text[], :operation::text[], :key::text[])
  AS n (scope, operation, key)
WHERE t.scope = n.scope AND t.operation = n.operation AND t.key = n.key AND t.state = 'running';
