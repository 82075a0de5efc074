-- What `settlement audit` reads about mandates. Each query returns its first bad row, with a sentence
-- in `why`, or nothing.

-- name: audit_mandate_overspent
-- Counted from the transfers, not from the account: what was put aside, less what deals took or hold
-- and gave back, less what went back to the buyer. A refund may come after the end.
WITH line AS (
  SELECT substr(CASE WHEN t.debit_class = 'mandate' THEN t.debit_ref ELSE t.credit_ref END, 9)
    AS mandate_id, t.kind, t.amount_minor
  FROM transfer AS t LEFT JOIN transfer AS r ON r.hold_id = t.transfer_id
  WHERE (t.debit_class = 'mandate' OR t.credit_class = 'mandate')
    AND (t.phase IN ('final', 'post')
      OR (t.phase = 'hold' AND t.debit_class = 'mandate' AND r.hold_id IS NULL))
),
flow AS (
  SELECT mandate_id,
    sum(CASE WHEN kind = 'mandate_reserve' THEN amount_minor ELSE 0 END) AS put,
    sum(CASE WHEN kind IN ('escrow_fund', 'mandate_return') THEN amount_minor ELSE 0 END) AS taken,
    sum(CASE WHEN kind = 'refund' THEN amount_minor ELSE 0 END) AS back
  FROM line GROUP BY mandate_id
)
SELECT m.mandate_id, m.reserve_minor, CAST(f.put AS BIGINT) AS put,
  CAST(f.taken AS BIGINT) AS taken,
  CASE
    WHEN coalesce(f.put, 0) <> coalesce(m.reserve_minor, 0)
      THEN 'what was put aside is not its reserve'
    ELSE 'more was spent and held than was put aside'
  END AS why
FROM mandate AS m LEFT JOIN flow AS f ON f.mandate_id = m.mandate_id
WHERE coalesce(f.put, 0) <> coalesce(m.reserve_minor, 0) OR f.taken > f.put + f.back
ORDER BY m.mandate_id LIMIT 1;

-- name: audit_mandate_exceeded
-- Every deal that a mandate approved is within it and of its buyer.
SELECT d.deal_id, d.mandate_id, d.gross_minor, m.max_amount_minor,
  CASE
    WHEN m.mandate_id IS NULL THEN 'the mandate that approved it does not exist'
    WHEN d.gross_minor > m.max_amount_minor THEN 'its gross is above what its mandate allows'
    WHEN m.asset <> d.asset THEN 'its mandate is of another asset'
    ELSE 'its mandate is another buyer''s'
  END AS why
FROM deal AS d LEFT JOIN mandate AS m ON m.mandate_id = d.mandate_id
WHERE d.mandate_id IS NOT NULL AND (m.mandate_id IS NULL OR d.gross_minor > m.max_amount_minor
  OR m.asset <> d.asset OR (d.buyer_id IS NOT NULL AND d.buyer_id <> m.buyer_id))
ORDER BY d.deal_id LIMIT 1;
