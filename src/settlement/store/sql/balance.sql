-- Checkpoints of the accounts that have no counters: what had moved on them up to a place in the log.

-- name: balance_checkpoint_last
SELECT coalesce(max(tree_size), 0) AS tree_size FROM balance_checkpoint;

-- The one before, and what its leaves up to the new one moved. No counter is updated in line, so
-- this is the only place where such sums are kept.
-- name: balance_checkpoint_keep
INSERT INTO balance_checkpoint (tree_size, ref, asset, debits_posted, credits_posted)
WITH moved AS (
  SELECT t.debit_ref, t.credit_ref, t.asset, t.amount_minor
  FROM log_entry AS l
  JOIN ledger_tx AS x ON x.event_id = l.event_id
  JOIN transfer AS t ON t.tx_id = x.tx_id
  WHERE l.log_index >= :since AND l.log_index < :tree_size AND t.phase IN ('final', 'post')
),
line AS (
  SELECT ref, asset, debits_posted AS dp, credits_posted AS cp
  FROM balance_checkpoint WHERE tree_size = :since
  UNION ALL
  SELECT m.debit_ref, m.asset, m.amount_minor, 0 FROM moved AS m
  JOIN account AS a ON a.ref = m.debit_ref AND a.asset = m.asset WHERE a.guard = 'none'
  UNION ALL
  SELECT m.credit_ref, m.asset, 0, m.amount_minor FROM moved AS m
  JOIN account AS a ON a.ref = m.credit_ref AND a.asset = m.asset WHERE a.guard = 'none'
)
SELECT CAST(:tree_size AS BIGINT), ref, asset, CAST(sum(dp) AS BIGINT), CAST(sum(cp) AS BIGINT)
FROM line GROUP BY ref, asset;
