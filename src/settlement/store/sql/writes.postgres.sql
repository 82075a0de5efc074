-- Write sets on PostgreSQL: one statement a table, a list per column. Row i is element i of each.
-- Inserts unnest in the select list, which streams; in FROM each list would be stored first.
-- Updates say twice which rows they want: the join alone may be planned from the table's side, by a
-- plan made while the table was small and kept while it grew; ANY makes it seek.

-- name: agent_insert
INSERT INTO agent (agent_id, name, agent_type, capabilities, description, api_endpoint,
  owner_email, status, operator, created_at, verifier)
SELECT unnest(:agent_id::text[]), unnest(:name::text[]), unnest(:agent_type::text[]),
  unnest(:capabilities::text[]), unnest(:description::text[]), unnest(:api_endpoint::text[]),
  unnest(:owner_email::text[]), unnest(:status::text[]), unnest(:operator::bigint[]),
  unnest(:created_at::text[]), unnest(:verifier::bigint[]);

-- name: api_key_insert
INSERT INTO api_key (key_prefix, key_id, agent_id, name, digest, scopes, status, created_at,
  expires_at, grace_until, rotated_from, revoked_at, revoke_reason)
SELECT unnest(:key_prefix::text[]), unnest(:key_id::text[]), unnest(:agent_id::text[]),
  unnest(:name::text[]), unnest(:digest::text[]), unnest(:scopes::text[]),
  unnest(:status::text[]), unnest(:created_at::text[]), unnest(:expires_at::text[]),
  unnest(:grace_until::text[]), unnest(:rotated_from::text[]), unnest(:revoked_at::text[]),
  unnest(:revoke_reason::text[]);

-- name: api_key_update
UPDATE api_key AS t SET
  status = n.status, grace_until = n.grace_until, revoked_at = n.revoked_at,
  revoke_reason = n.revoke_reason
FROM unnest(:status::text[], :grace_until::text[], :revoked_at::text[], :revoke_reason::text[],
  :key_id::text[], :expected_status::text[])
  AS n (status, grace_until, revoked_at, revoke_reason, key_id, expected_status)
WHERE t.key_id = n.key_id AND t.status = n.expected_status AND t.key_id = ANY(:key_id::text[]);

-- name: actor_key_insert
INSERT INTO actor_key (key_id, actor_id, actor_type, key_class, public_key_base64, status,
  issued_at, revoked_at)
SELECT unnest(:key_id::text[]), unnest(:actor_id::text[]), unnest(:actor_type::text[]),
  unnest(:key_class::text[]), unnest(:public_key_base64::text[]), unnest(:status::text[]),
  unnest(:issued_at::text[]), unnest(:revoked_at::text[]);

-- name: event_insert
INSERT INTO event (deal_id, version, event_id, event_type, actor_id, actor_role, counterparty_id,
  amount_minor, asset, source, timestamp, payload, actor_signature, prev_hash, hash)
SELECT unnest(:deal_id::text[]), unnest(:version::bigint[]), unnest(:event_id::text[]),
  unnest(:event_type::text[]), unnest(:actor_id::text[]), unnest(:actor_role::text[]),
  unnest(:counterparty_id::text[]), unnest(:amount_minor::bigint[]), unnest(:asset::text[]),
  unnest(:source::text[]), unnest(:timestamp::text[]), unnest(:payload::text[]),
  unnest(:actor_signature::text[]), unnest(:prev_hash::text[]), unnest(:hash::text[]);

-- name: event_pending_insert
INSERT INTO event_pending (deal_id, version)
SELECT unnest(:deal_id::text[]), unnest(:version::bigint[]);

-- name: deal_insert
INSERT INTO deal (deal_id, state, version, head_hash, asset, open, seller_label, seller_id,
  buyer_label, buyer_id, vertical, sku_id, proof_type, proof_hash, scope_summary, scope_lock_hash,
  scope_digest, policy, policy_hash, price_minor, quote_digest, quote_expires_at, gross_minor,
  fee_policy, fee_policy_hash, tier, volume_minor, approval_authority, approval_mode, approved_by,
  mandate_id, acceptance_id, acceptance_state, funding, funding_rail, charge_refusals, intent_id,
  created_at, updated_at, settled_at)
SELECT unnest(:deal_id::text[]), unnest(:state::text[]), unnest(:version::bigint[]),
  unnest(:head_hash::text[]), unnest(:asset::text[]), unnest(:open::bigint[]),
  unnest(:seller_label::text[]), unnest(:seller_id::text[]), unnest(:buyer_label::text[]),
  unnest(:buyer_id::text[]), unnest(:vertical::text[]), unnest(:sku_id::text[]),
  unnest(:proof_type::text[]), unnest(:proof_hash::text[]), unnest(:scope_summary::text[]),
  unnest(:scope_lock_hash::text[]), unnest(:scope_digest::text[]), unnest(:policy::text[]),
  unnest(:policy_hash::text[]), unnest(:price_minor::bigint[]), unnest(:quote_digest::text[]),
  unnest(:quote_expires_at::text[]), unnest(:gross_minor::bigint[]), unnest(:fee_policy::text[]),
  unnest(:fee_policy_hash::text[]), unnest(:tier::text[]), unnest(:volume_minor::bigint[]),
  unnest(:approval_authority::text[]), unnest(:approval_mode::text[]),
  unnest(:approved_by::text[]), unnest(:mandate_id::text[]), unnest(:acceptance_id::text[]),
  unnest(:acceptance_state::text[]), unnest(:funding::text[]), unnest(:funding_rail::text[]),
  unnest(:charge_refusals::bigint[]), unnest(:intent_id::text[]), unnest(:created_at::text[]),
  unnest(:updated_at::text[]), unnest(:settled_at::text[]);

-- name: party_insert
INSERT INTO party (deal_id, agent_id, role)
SELECT unnest(:deal_id::text[]), unnest(:agent_id::text[]), unnest(:role::text[])
ON CONFLICT (deal_id, agent_id, role) DO NOTHING;

-- name: proof_insert
INSERT INTO proof (deal_id, n, proof_type, proof_hash, proof_data, attachment_url,
  parent_proof_ids, agent, created_at)
SELECT unnest(:deal_id::text[]), unnest(:n::bigint[]), unnest(:proof_type::text[]),
  unnest(:proof_hash::text[]), unnest(:proof_data::text[]), unnest(:attachment_url::text[]),
  unnest(:parent_proof_ids::text[]), unnest(:agent::text[]), unnest(:created_at::text[]);

-- name: receipt_insert
INSERT INTO receipt (receipt_id, deal_id, proof_hash, provider, provider_type, proof_type,
  verified, confidence, verification_hash, receipt_hash, receipt_digest, checks_run, authority,
  event_id, created_at)
SELECT unnest(:receipt_id::text[]), unnest(:deal_id::text[]), unnest(:proof_hash::text[]),
  unnest(:provider::text[]), unnest(:provider_type::text[]), unnest(:proof_type::text[]),
  unnest(:verified::bigint[]), unnest(:confidence::text[]), unnest(:verification_hash::text[]),
  unnest(:receipt_hash::text[]), unnest(:receipt_digest::text[]), unnest(:checks_run::text[]),
  unnest(:authority::text[]), unnest(:event_id::text[]), unnest(:created_at::text[]);

-- name: account_insert
INSERT INTO account (ref, asset, account_class, guard, holder, deal_id, debits_posted,
  credits_posted, debits_held, credits_held, version, opened_at, closed_at)
SELECT unnest(:ref::text[]), unnest(:asset::text[]), unnest(:account_class::text[]),
  unnest(:guard::text[]), unnest(:holder::text[]), unnest(:deal_id::text[]),
  unnest(:debits_posted::bigint[]), unnest(:credits_posted::bigint[]),
  unnest(:debits_held::bigint[]), unnest(:credits_held::bigint[]), unnest(:version::bigint[]),
  unnest(:opened_at::text[]), unnest(:closed_at::text[]);

-- name: ledger_tx_insert
INSERT INTO ledger_tx (tx_id, deal_id, event_id, settles, tx_hash, booked_at)
SELECT unnest(:tx_id::text[]), unnest(:deal_id::text[]), unnest(:event_id::text[]),
  unnest(:settles::text[]), unnest(:tx_hash::text[]), unnest(:booked_at::text[]);

-- name: transfer_insert
INSERT INTO transfer (transfer_id, tx_id, leg, deal_id, event_id, kind, phase, asset,
  amount_minor, debit_ref, debit_class, credit_ref, credit_class, hold_id, expires_at, booked_at)
SELECT unnest(:transfer_id::text[]), unnest(:tx_id::text[]), unnest(:leg::bigint[]),
  unnest(:deal_id::text[]), unnest(:event_id::text[]), unnest(:kind::text[]),
  unnest(:phase::text[]), unnest(:asset::text[]), unnest(:amount_minor::bigint[]),
  unnest(:debit_ref::text[]), unnest(:debit_class::text[]), unnest(:credit_ref::text[]),
  unnest(:credit_class::text[]), unnest(:hold_id::text[]), unnest(:expires_at::text[]),
  unnest(:booked_at::text[]);

-- name: settlement_payee_insert
INSERT INTO settlement_payee (deal_id, position, agent_id, role, share, fee_minor, net_minor)
SELECT unnest(:deal_id::text[]), unnest(:position::bigint[]), unnest(:agent_id::text[]),
  unnest(:role::text[]), unnest(:share::text[]), unnest(:fee_minor::bigint[]),
  unnest(:net_minor::bigint[]);

-- name: settlement_insert
INSERT INTO settlement (deal_id, tx_id, event_id, asset, gross_minor, platform_fee_minor,
  protocol_fee_minor, net_minor, components, fee_policy, fee_policy_hash, tier, volume_minor,
  seller_id, buyer_id, settled_at)
SELECT unnest(:deal_id::text[]), unnest(:tx_id::text[]), unnest(:event_id::text[]),
  unnest(:asset::text[]), unnest(:gross_minor::bigint[]), unnest(:platform_fee_minor::bigint[]),
  unnest(:protocol_fee_minor::bigint[]), unnest(:net_minor::bigint[]),
  unnest(:components::text[]), unnest(:fee_policy::text[]), unnest(:fee_policy_hash::text[]),
  unnest(:tier::text[]), unnest(:volume_minor::bigint[]), unnest(:seller_id::text[]),
  unnest(:buyer_id::text[]), unnest(:settled_at::text[]);

-- name: volume_entry_insert
INSERT INTO volume_entry (agent_id, asset, n, at, delta_minor, total_minor, deal_id)
SELECT unnest(:agent_id::text[]), unnest(:asset::text[]), unnest(:n::bigint[]),
  unnest(:at::text[]), unnest(:delta_minor::bigint[]), unnest(:total_minor::bigint[]),
  unnest(:deal_id::text[]);

-- name: destination_insert
INSERT INTO destination (destination_id, owner_id, rail, address, metadata, auto, status,
  created_at)
SELECT unnest(:destination_id::text[]), unnest(:owner_id::text[]), unnest(:rail::text[]),
  unnest(:address::text[]), unnest(:metadata::text[]), unnest(:auto::bigint[]),
  unnest(:status::text[]), unnest(:created_at::text[]);

-- name: effect_insert
INSERT INTO effect (effect_id, obligation_key, kind, deal_id, rail, asset, amount_minor, state,
  fence, destination, plan, claim_operation, claim_key, payout_id, rail_ref, refusal, ask_count,
  sent_at, asked_at, created_at, updated_at)
SELECT unnest(:effect_id::text[]), unnest(:obligation_key::text[]), unnest(:kind::text[]),
  unnest(:deal_id::text[]), unnest(:rail::text[]), unnest(:asset::text[]),
  unnest(:amount_minor::bigint[]), unnest(:state::text[]), unnest(:fence::bigint[]),
  unnest(:destination::text[]), unnest(:plan::text[]), unnest(:claim_operation::text[]),
  unnest(:claim_key::text[]), unnest(:payout_id::text[]), unnest(:rail_ref::text[]),
  unnest(:refusal::text[]), unnest(:ask_count::bigint[]), unnest(:sent_at::text[]),
  unnest(:asked_at::text[]), unnest(:created_at::text[]), unnest(:updated_at::text[]);

-- name: payout_insert
INSERT INTO payout (payout_id, deal_id, agent_id, asset, amount_minor, rail, destination_id,
  state, refusals, effect_id, hold_id, waiting_for, waiting_since, next_check_at, attempts,
  rail_ref, created_at, updated_at)
SELECT unnest(:payout_id::text[]), unnest(:deal_id::text[]), unnest(:agent_id::text[]),
  unnest(:asset::text[]), unnest(:amount_minor::bigint[]), unnest(:rail::text[]),
  unnest(:destination_id::text[]), unnest(:state::text[]), unnest(:refusals::bigint[]),
  unnest(:effect_id::text[]), unnest(:hold_id::text[]), unnest(:waiting_for::text[]),
  unnest(:waiting_since::text[]), unnest(:next_check_at::text[]), unnest(:attempts::bigint[]),
  unnest(:rail_ref::text[]), unnest(:created_at::text[]), unnest(:updated_at::text[]);

-- name: job_insert
INSERT INTO job (job_id, job_type, deal_id, payload, dedup_key, status, attempts, max_attempts,
  lost_leases, run_at_us, lease_owner, lease_fence, lease_expires_us, last_error, result,
  created_at, updated_at)
SELECT unnest(:job_id::text[]), unnest(:job_type::text[]), unnest(:deal_id::text[]),
  unnest(:payload::text[]), unnest(:dedup_key::text[]), unnest(:status::text[]),
  unnest(:attempts::bigint[]), unnest(:max_attempts::bigint[]), unnest(:lost_leases::bigint[]),
  unnest(:run_at_us::bigint[]), unnest(:lease_owner::text[]), unnest(:lease_fence::bigint[]),
  unnest(:lease_expires_us::bigint[]), unnest(:last_error::text[]), unnest(:result::text[]),
  unnest(:created_at::text[]), unnest(:updated_at::text[])
ON CONFLICT (job_type, dedup_key) DO NOTHING;

-- name: outbox_insert
INSERT INTO outbox (outbox_id, deal_id, event_id, event_type, actor_id, counterparty_id, payload,
  source, timestamp)
SELECT unnest(:outbox_id::text[]), unnest(:deal_id::text[]), unnest(:event_id::text[]),
  unnest(:event_type::text[]), unnest(:actor_id::text[]), unnest(:counterparty_id::text[]),
  unnest(:payload::text[]), unnest(:source::text[]), unnest(:timestamp::text[]);

-- name: claim_insert
INSERT INTO claim (scope, operation, key, key_digest, principal, deal_id, args, fingerprint,
  state, phase, fence, outcome, target_scope, target_key, first_seen, finished_at)
SELECT unnest(:scope::text[]), unnest(:operation::text[]), unnest(:key::text[]),
  unnest(:key_digest::text[]), unnest(:principal::text[]), unnest(:deal_id::text[]),
  unnest(:args::text[]), unnest(:fingerprint::text[]), unnest(:state::text[]),
  unnest(:phase::text[]), unnest(:fence::bigint[]), unnest(:outcome::text[]),
  unnest(:target_scope::text[]), unnest(:target_key::text[]), unnest(:first_seen::text[]),
  unnest(:finished_at::text[]);

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
WHERE t.deal_id = n.deal_id AND t.deal_id = ANY(:deal_id::text[]);

-- name: acceptance_insert
INSERT INTO acceptance (acceptance_id, deal_id, downstream_action, status, submitted_by, proof_hash,
  scope_lock_hash, review_deadline, reviewer_id, reason, checks_passed, checks_failed, created_at,
  decided_at)
SELECT unnest(:acceptance_id::text[]), unnest(:deal_id::text[]),
  unnest(:downstream_action::text[]), unnest(:status::text[]), unnest(:submitted_by::text[]),
  unnest(:proof_hash::text[]), unnest(:scope_lock_hash::text[]),
  unnest(:review_deadline::text[]), unnest(:reviewer_id::text[]), unnest(:reason::text[]),
  unnest(:checks_passed::text[]), unnest(:checks_failed::text[]), unnest(:created_at::text[]),
  unnest(:decided_at::text[]);

-- name: acceptance_update
UPDATE acceptance AS t SET status = n.status, reviewer_id = n.reviewer_id, reason = n.reason,
  checks_passed = n.checks_passed, checks_failed = n.checks_failed, decided_at = n.decided_at
FROM unnest(:status::text[], :reviewer_id::text[], :reason::text[], :checks_passed::text[],
  :checks_failed::text[], :decided_at::text[], :acceptance_id::text[])
  AS n (status, reviewer_id, reason, checks_passed, checks_failed, decided_at, acceptance_id)
WHERE t.acceptance_id = n.acceptance_id AND t.status = 'pending'
  AND t.acceptance_id = ANY(:acceptance_id::text[]);

-- name: mandate_insert
INSERT INTO mandate (mandate_id, buyer_id, asset, max_amount_minor, allowed_verticals,
  confidence_threshold, reserve_minor, status, expires_at, created_at, revoked_at)
SELECT unnest(:mandate_id::text[]), unnest(:buyer_id::text[]), unnest(:asset::text[]),
  unnest(:max_amount_minor::bigint[]), unnest(:allowed_verticals::text[]),
  unnest(:confidence_threshold::text[]), unnest(:reserve_minor::bigint[]),
  unnest(:status::text[]), unnest(:expires_at::text[]), unnest(:created_at::text[]),
  unnest(:revoked_at::text[]);

-- name: mandate_update
UPDATE mandate AS t SET status = n.status, revoked_at = n.revoked_at
FROM unnest(:status::text[], :revoked_at::text[], :mandate_id::text[])
  AS n (status, revoked_at, mandate_id)
WHERE t.mandate_id = n.mandate_id AND t.mandate_id = ANY(:mandate_id::text[]);

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
  AND t.state = n.expected_state AND t.effect_id = ANY(:effect_id::text[]);

-- name: payout_update
UPDATE payout AS t SET
  amount_minor = n.amount_minor, rail = n.rail, destination_id = n.destination_id, state = n.state, refusals = n.refusals,
  effect_id = n.effect_id, hold_id = n.hold_id, waiting_for = n.waiting_for,
  waiting_since = n.waiting_since, next_check_at = n.next_check_at, attempts = n.attempts,
  rail_ref = n.rail_ref, updated_at = n.updated_at
FROM unnest(:amount_minor::bigint[], :rail::text[], :destination_id::text[], :state::text[],
  :refusals::bigint[],
  :effect_id::text[], :hold_id::text[], :waiting_for::text[], :waiting_since::text[],
  :next_check_at::text[], :attempts::bigint[], :rail_ref::text[], :updated_at::text[],
  :payout_id::text[])
  AS n (amount_minor, rail, destination_id, state, refusals, effect_id, hold_id, waiting_for, waiting_since,
  next_check_at, attempts, rail_ref, updated_at, payout_id)
WHERE t.payout_id = n.payout_id AND t.payout_id = ANY(:payout_id::text[]);

-- name: claim_finish
UPDATE claim AS t SET state = 'done', outcome = n.outcome, finished_at = n.finished_at
FROM unnest(:outcome::text[], :finished_at::text[], :scope::text[], :operation::text[],
    :key::text[])
  AS n (outcome, finished_at, scope, operation, key)
WHERE t.scope = n.scope AND t.operation = n.operation AND t.key = n.key AND t.state = 'running'
  AND t.scope = ANY(:scope::text[]);

-- name: claim_inherit
UPDATE claim AS t SET state = 'done', outcome = n.outcome, finished_at = n.finished_at,
  target_scope = NULL, target_key = NULL
FROM unnest(:outcome::text[], :finished_at::text[], :scope::text[], :operation::text[],
    :key::text[])
  AS n (outcome, finished_at, scope, operation, key)
WHERE t.target_scope = n.scope AND t.operation = n.operation AND t.target_key = n.key
  AND t.target_scope = ANY(:scope::text[]);

-- name: claim_delete
DELETE FROM claim AS t USING unnest(:scope::text[], :operation::text[], :key::text[])
  AS n (scope, operation, key)
WHERE t.scope = n.scope AND t.operation = n.operation AND t.key = n.key AND t.state = 'running'
  AND t.scope = ANY(:scope::text[]);
