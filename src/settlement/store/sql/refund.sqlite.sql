-- Money that goes back: rows come one by one, lists as JSON text.

-- name: refund_insert
INSERT INTO refund (refund_id, deal_id, kind, payment_event_id, source, rail, payment_ref, asset,
  amount_minor, parts, holds, state, effect_id, dispute_id, requested_by, reason_hash, rail_ref,
  refusal, created_at, updated_at)
VALUES (:refund_id, :deal_id, :kind, :payment_event_id, :source, :rail, :payment_ref, :asset,
  :amount_minor, :parts, :holds, :state, :effect_id, :dispute_id, :requested_by, :reason_hash,
  :rail_ref, :refusal, :created_at, :updated_at);

-- name: refund_update
UPDATE refund SET holds = :holds, state = :state, rail_ref = :rail_ref, refusal = :refusal,
  updated_at = :updated_at
WHERE refund_id = :refund_id;

-- name: dispute_insert
INSERT INTO dispute (dispute_id, deal_id, claimant_id, respondent_id, reason_hash, status,
  deal_state, asset, amount_minor, parts, seller_ppm, ruling_hash, opened_at, resolved_at)
VALUES (:dispute_id, :deal_id, :claimant_id, :respondent_id, :reason_hash, :status, :deal_state,
  :asset, :amount_minor, :parts, :seller_ppm, :ruling_hash, :opened_at, :resolved_at);

-- name: dispute_update
UPDATE dispute SET status = :status, parts = :parts, seller_ppm = :seller_ppm, ruling_hash = :ruling_hash,
  resolved_at = :resolved_at
WHERE dispute_id = :dispute_id;

-- name: bad_outcome_insert
INSERT INTO bad_outcome (deal_id, agent_id, asset, outcome, at)
VALUES (:deal_id, :agent_id, :asset, :outcome, :at) ON CONFLICT (deal_id) DO NOTHING;

-- name: refund_by_deals
SELECT * FROM refund WHERE deal_id IN (SELECT value FROM json_each(:ids)) ORDER BY deal_id, refund_id;

-- name: dispute_by_deals
SELECT * FROM dispute WHERE deal_id IN (SELECT value FROM json_each(:ids));

-- name: payout_by_deals
SELECT * FROM payout WHERE deal_id IN (SELECT value FROM json_each(:ids)) ORDER BY deal_id, payout_id;

-- name: payment_by_deals
-- Money that came into the escrows, oldest first; the event says what the rail calls it.
SELECT t.deal_id, t.event_id, t.asset, t.amount_minor, t.debit_ref, t.debit_class, e.payload
FROM transfer AS t JOIN event AS e ON e.event_id = t.event_id
WHERE t.deal_id IN (SELECT value FROM json_each(:ids)) AND t.kind IN ('charge', 'escrow_fund') AND t.phase = 'final'
ORDER BY t.deal_id, e.version;

-- name: recovered_by_deals
-- What was kept of a deal's money for debts, per payee.
SELECT deal_id, debit_ref, CAST(sum(amount_minor) AS BIGINT) AS minor FROM transfer
WHERE deal_id IN (SELECT value FROM json_each(:ids)) AND kind = 'recover' GROUP BY deal_id, debit_ref;
