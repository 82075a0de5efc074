-- Lists arrive as JSON text.

-- name: revenue_transfers
SELECT transfer_id, tx_id, leg, deal_id, event_id, kind, phase, asset, amount_minor, debit_ref,
  debit_class, credit_ref, credit_class, hold_id, expires_at, booked_at
FROM transfer
WHERE deal_id IN (SELECT value FROM json_each(:deal_ids)) AND (debit_ref = :ref OR credit_ref = :ref)
ORDER BY booked_at, tx_id, leg;

-- name: revenue_figures
SELECT d.deal_id, d.state, d.asset, coalesce(s.gross_minor, 0) AS gross_minor,
  coalesce(s.platform_fee_minor, 0) AS platform_fee_minor,
  coalesce(s.protocol_fee_minor, 0) AS protocol_fee_minor,
  coalesce(s.net_minor, 0) AS net_minor
FROM deal AS d LEFT JOIN settlement AS s ON s.deal_id = d.deal_id
WHERE d.deal_id IN (SELECT value FROM json_each(:deal_ids));

-- name: revenue_payout_states
SELECT deal_id, state FROM payout WHERE deal_id IN (SELECT value FROM json_each(:deal_ids));
