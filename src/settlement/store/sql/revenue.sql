-- name: revenue_transfers_outside
-- What is not a deal's is on a stream of its own, sys_ and the id of what it is about.
SELECT transfer_id, tx_id, leg, deal_id, event_id, kind, phase, asset, amount_minor, debit_ref,
  debit_class, credit_ref, credit_class, hold_id, expires_at, booked_at
FROM transfer
WHERE deal_id IN (SELECT 'sys_' || mandate_id FROM mandate WHERE buyer_id = :agent_id
    UNION ALL SELECT 'sys_' || :agent_id)
  AND (debit_ref = :ref OR credit_ref = :ref)
ORDER BY booked_at, tx_id, leg;
