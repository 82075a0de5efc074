-- What `settlement audit` reads about balance checkpoints.

-- name: audit_checkpoint_page
SELECT DISTINCT tree_size FROM balance_checkpoint
WHERE tree_size > :tree_size ORDER BY tree_size LIMIT :limit;

-- name: audit_checkpoint_fault
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
),
due AS (SELECT ref, asset, sum(dp) AS dp, sum(cp) AS cp FROM line GROUP BY ref, asset),
kept AS (
  SELECT ref, asset, debits_posted AS dp, credits_posted AS cp
  FROM balance_checkpoint WHERE tree_size = :tree_size
)
SELECT coalesce(d.ref, k.ref) AS ref, coalesce(d.asset, k.asset) AS asset,
  CAST(coalesce(k.dp, 0) AS BIGINT) AS debits_posted, CAST(coalesce(d.dp, 0) AS BIGINT)
  AS debits_counted, CAST(coalesce(k.cp, 0) AS BIGINT) AS credits_posted,
  CAST(coalesce(d.cp, 0) AS BIGINT) AS credits_counted,
  'a balance checkpoint is not the sum of its transfers' AS why
FROM due AS d FULL JOIN kept AS k ON k.ref = d.ref AND k.asset = d.asset
WHERE coalesce(d.dp, 0) <> coalesce(k.dp, 0) OR coalesce(d.cp, 0) <> coalesce(k.cp, 0)
ORDER BY 1, 2 LIMIT 1;
