-- Statements of agents' accounts.

-- No index on the account: statements are for operators, and a settle pays for every index. What is
-- read is what was booked since the period began, wherever it went.
-- name: statement_movements
SELECT t.transfer_id, t.tx_id, t.leg, t.deal_id, t.event_id, t.kind, t.phase, t.asset,
  t.amount_minor, t.debit_ref, t.debit_class, t.credit_ref, t.credit_class, t.hold_id,
  t.expires_at, t.booked_at, l.log_index
FROM transfer AS t LEFT JOIN log_entry AS l ON l.event_id = t.event_id
WHERE (t.tx_id, t.leg) > (:tx_id, :leg) AND t.asset = :asset
  AND (t.debit_ref = :ref OR t.credit_ref = :ref) AND t.phase IN ('final', 'post')
ORDER BY t.tx_id, t.leg LIMIT :limit;

-- name: statement_balance
SELECT credits_posted - debits_posted AS balance_minor FROM account
WHERE ref = :ref AND asset = :asset;

-- name: statement_keep
INSERT INTO statement (statement_id, agent_id, asset, starts_at, ends_at, tree_size, digest,
  made_at)
VALUES (:statement_id, :agent_id, :asset, :starts_at, :ends_at, :tree_size, :digest, :made_at);

-- name: statement_page
SELECT statement_id, agent_id, asset, starts_at, ends_at, tree_size, digest, made_at
FROM statement WHERE statement_id > :statement_id ORDER BY statement_id LIMIT :limit;

-- name: statement_assets
SELECT asset FROM asset ORDER BY asset;
