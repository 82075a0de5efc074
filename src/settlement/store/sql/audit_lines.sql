-- What the audit reads about statements of rails (check 32). Money at a rail is clearing and transit
-- together: what is in transit has left an account of ours, and the rail holds it still.

-- name: audit_cash_page
-- Every leg that touches money at a rail, in (tx_id, leg) order, with its event's text.
SELECT t.tx_id, t.leg, t.deal_id, t.kind, t.asset, t.amount_minor, t.debit_ref, t.debit_class,
  t.credit_ref, t.credit_class, t.booked_at, e.payload
FROM transfer AS t LEFT JOIN event AS e ON e.event_id = t.event_id
WHERE (t.tx_id, t.leg) > (:tx_id, :leg) AND t.phase IN ('final', 'post')
  AND (t.debit_class IN ('clearing', 'payout_transit')
    OR t.credit_class IN ('clearing', 'payout_transit'))
ORDER BY t.tx_id, t.leg LIMIT :limit;

-- name: audit_cover_page
SELECT rail, source, starts_at, statement_id, ends_at FROM rail_statement
WHERE (rail, source, starts_at, statement_id) > (:rail, :source, :starts_at, :statement_id)
ORDER BY rail, source, starts_at, statement_id LIMIT :limit;

-- name: audit_cash_totals
-- All that was ever booked on the accounts at rails, by account.
WITH line AS (
  SELECT debit_ref AS ref, asset, amount_minor AS minor FROM transfer
  WHERE debit_class IN ('clearing', 'payout_transit') AND phase IN ('final', 'post')
  UNION ALL
  SELECT credit_ref, asset, -amount_minor FROM transfer
  WHERE credit_class IN ('clearing', 'payout_transit') AND phase IN ('final', 'post')
)
SELECT ref, asset, CAST(sum(minor) AS BIGINT) AS minor FROM line GROUP BY ref, asset
ORDER BY ref, asset;

-- name: audit_line_totals
-- Per rail and asset all lines, and those that no answered effect and no message of the rail
-- explains. An explanation counts once, however many rows give it.
WITH answered AS MATERIALIZED (
  SELECT DISTINCT rail, kind, rail_ref FROM effect
  WHERE state = 'confirmed' AND rail_ref IS NOT NULL
),
told AS MATERIALIZED (
  SELECT DISTINCT key, CASE operation WHEN 'record_chargeback' THEN 'chargeback' ELSE 'charge' END
    AS kind
  FROM claim
  WHERE operation IN ('record_payment', 'record_topup', 'record_chargeback')
    AND outcome LIKE '{"result"%'
),
line AS (
  SELECT l.rail, l.asset,
    CASE l.kind WHEN 'charge' THEN l.amount_minor ELSE -l.amount_minor END AS minor,
    CASE WHEN a.rail IS NULL AND t.key IS NULL THEN 1 ELSE 0 END AS loose
  FROM rail_line AS l
  LEFT JOIN answered AS a ON a.rail = l.rail AND a.kind = l.kind AND a.rail_ref = l.rail_ref
  LEFT JOIN told AS t ON t.kind = l.kind
    AND t.key = l.rail || CASE l.kind WHEN 'chargeback' THEN ':chargeback:' ELSE ':' END
      || l.rail_ref
)
SELECT rail, asset, CAST(sum(minor) AS BIGINT) AS lines_minor,
  CAST(sum(CASE WHEN loose = 1 THEN minor ELSE 0 END) AS BIGINT) AS unmatched_minor
FROM line GROUP BY rail, asset ORDER BY rail, asset;

-- name: audit_line_stray
-- The oldest line that belongs to nothing here. A line is unmatched by right while an effect that it
-- may be is open: the one it names, or as many of its money as there are. What came and went again
-- under one reference is nothing either.
WITH answered AS MATERIALIZED (
  SELECT DISTINCT rail, kind, rail_ref FROM effect
  WHERE state = 'confirmed' AND rail_ref IS NOT NULL
),
told AS MATERIALIZED (
  SELECT DISTINCT key, CASE operation WHEN 'record_chargeback' THEN 'chargeback' ELSE 'charge' END
    AS kind
  FROM claim
  WHERE operation IN ('record_payment', 'record_topup', 'record_chargeback')
    AND outcome LIKE '{"result"%'
),
pending AS MATERIALIZED (
  SELECT obligation_key, rail, kind, asset, amount_minor FROM effect
  WHERE state IN ('planned', 'sent', 'unknown')
),
likely AS (
  SELECT rail, kind, asset, amount_minor, count(*) AS n FROM pending
  GROUP BY rail, kind, asset, amount_minor
),
loose AS (
  SELECT l.rail, l.line_id, l.kind, l.asset, l.amount_minor, l.rail_ref, l.obligation_key,
    l.occurred_at, CASE l.kind WHEN 'charge' THEN l.amount_minor ELSE -l.amount_minor END AS minor,
    row_number() OVER (PARTITION BY l.rail, l.kind, l.asset, l.amount_minor,
      CASE WHEN l.obligation_key IS NULL THEN 0 ELSE 1 END ORDER BY l.line_id) AS place
  FROM rail_line AS l
  LEFT JOIN answered AS a ON a.rail = l.rail AND a.kind = l.kind AND a.rail_ref = l.rail_ref
  LEFT JOIN told AS t ON t.kind = l.kind
    AND t.key = l.rail || CASE l.kind WHEN 'chargeback' THEN ':chargeback:' ELSE ':' END
      || l.rail_ref
  LEFT JOIN pending AS p ON p.obligation_key = l.obligation_key AND p.rail = l.rail
    AND p.kind = l.kind AND p.asset = l.asset AND p.amount_minor = l.amount_minor
  WHERE a.rail IS NULL AND t.key IS NULL AND p.rail IS NULL
),
stray AS (
  SELECT l.rail, l.line_id, l.kind, l.asset, l.amount_minor, l.rail_ref, l.obligation_key,
    l.occurred_at, sum(l.minor) OVER (PARTITION BY l.rail, l.asset, l.rail_ref) AS left_minor
  FROM loose AS l
  LEFT JOIN likely AS k ON k.rail = l.rail AND k.kind = l.kind AND k.asset = l.asset
    AND k.amount_minor = l.amount_minor
  WHERE l.obligation_key IS NOT NULL OR k.n IS NULL OR l.place > k.n
)
SELECT rail, line_id, kind, asset, amount_minor, rail_ref, obligation_key, occurred_at,
  'the rail moved this, and nothing in the books belongs to it' AS why
FROM stray WHERE left_minor <> 0
ORDER BY CASE WHEN occurred_at IS NULL THEN 0 ELSE 1 END, occurred_at, rail, line_id LIMIT 1;
