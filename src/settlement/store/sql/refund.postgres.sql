-- Money that goes back: all rows of a statement as one list per column.

-- name: refund_insert
INSERT INTO refund (refund_id, deal_id, kind, payment_event_id, source, rail, payment_ref, asset,
  amount_minor, parts, holds, state, effect_id, dispute_id, requested_by, reason_hash, rail_ref,
  refusal, created_at, updated_at)
SELECT unnest(:refund_id::text[]), unnest(:deal_id::text[]), unnest(:kind::text[]),
  unnest(:payment_event_id::text[]), unnest(:source::text[]), unnest(:rail::text[]),
  unnest(:payment_ref::text[]), unnest(:asset::text[]), unnest(:amount_minor::bigint[]),
  unnest(:parts::text[]), unnest(:holds::text[]), unnest(:state::text[]),
  unnest(:effect_id::text[]), unnest(:dispute_id::text[]), unnest(:requested_by::text[]),
  unnest(:reason_hash::text[]), unnest(:rail_ref::text[]), unnest(:refusal::text[]),
  unnest(:created_at::text[]), unnest(:updated_at::text[]);

-- name: refund_update
UPDATE refund AS t SET holds = n.holds, state = n.state, rail_ref = n.rail_ref, refusal =
  n.refusal, updated_at = n.updated_at
FROM unnest(:holds::text[], :state::text[], :rail_ref::text[], :refusal::text[],
  :updated_at::text[], :refund_id::text[])
  AS n (holds, state, rail_ref, refusal, updated_at, refund_id)
WHERE t.refund_id = n.refund_id AND t.refund_id = ANY(:refund_id::text[]);

-- name: dispute_insert
INSERT INTO dispute (dispute_id, deal_id, claimant_id, respondent_id, reason_hash, status,
  deal_state, asset, amount_minor, parts, seller_ppm, ruling_hash, opened_at, resolved_at)
SELECT unnest(:dispute_id::text[]), unnest(:deal_id::text[]), unnest(:claimant_id::text[]),
  unnest(:respondent_id::text[]), unnest(:reason_hash::text[]), unnest(:status::text[]),
  unnest(:deal_state::text[]), unnest(:asset::text[]), unnest(:amount_minor::bigint[]),
  unnest(:parts::text[]), unnest(:seller_ppm::bigint[]), unnest(:ruling_hash::text[]),
  unnest(:opened_at::text[]), unnest(:resolved_at::text[]);

-- name: dispute_update
UPDATE dispute AS t SET status = n.status, parts = n.parts, seller_ppm = n.seller_ppm,
  ruling_hash = n.ruling_hash, resolved_at = n.resolved_at
FROM unnest(:status::text[], :parts::text[], :seller_ppm::bigint[], :ruling_hash::text[], :resolved_at::text[],
  :dispute_id::text[])
  AS n (status, parts, seller_ppm, ruling_hash, resolved_at, dispute_id)
WHERE t.dispute_id = n.dispute_id AND t.dispute_id = ANY(:dispute_id::text[]);

-- name: bad_outcome_insert
INSERT INTO bad_outcome (deal_id, agent_id, asset, outcome, at)
SELECT unnest(:deal_id::text[]), unnest(:agent_id::text[]), unnest(:asset::text[]),
  unnest(:outcome::text[]), unnest(:at::text[])
ON CONFLICT (deal_id) DO NOTHING;

-- name: refund_by_deals
SELECT * FROM refund WHERE deal_id = ANY(:ids::text[]) ORDER BY deal_id, refund_id;

-- name: dispute_by_deals
SELECT * FROM dispute WHERE deal_id = ANY(:ids::text[]);

-- name: payout_by_deals
SELECT * FROM payout WHERE deal_id = ANY(:ids::text[]) ORDER BY deal_id, payout_id;

-- name: payment_by_deals
-- Money that came into the escrows, oldest first; the event says what the rail calls it.
SELECT t.deal_id, t.event_id, t.asset, t.amount_minor, t.debit_ref, t.debit_class, e.payload
FROM transfer AS t JOIN event AS e ON e.event_id = t.event_id
WHERE t.deal_id = ANY(:ids::text[]) AND t.kind IN ('charge', 'escrow_fund') AND t.phase = 'final'
ORDER BY t.deal_id, e.version;

-- name: recovered_by_deals
-- What was kept of a deal's money for debts, per payee.
SELECT deal_id, debit_ref, CAST(sum(amount_minor) AS BIGINT) AS minor FROM transfer
WHERE deal_id = ANY(:ids::text[]) AND kind = 'recover' GROUP BY deal_id, debit_ref;
