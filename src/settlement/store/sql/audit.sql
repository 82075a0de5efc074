-- What `settlement audit` reads about the ledger. Every query that looks for a fault returns its
-- first bad row, with a sentence in `why`, or nothing. Sums are cast, so that both databases
-- answer integers.

-- name: audit_counts
SELECT 'agent' AS name, count(*) AS n FROM agent
UNION ALL SELECT 'account', count(*) FROM account
UNION ALL SELECT 'bid', count(*) FROM bid
UNION ALL SELECT 'balance_checkpoint', count(*) FROM balance_checkpoint
UNION ALL SELECT 'claim', count(*) FROM claim
UNION ALL SELECT 'deal', count(*) FROM deal
UNION ALL SELECT 'effect', count(*) FROM effect
UNION ALL SELECT 'event', count(*) FROM event
UNION ALL SELECT 'intent', count(*) FROM intent
UNION ALL SELECT 'ledger_tx', count(*) FROM ledger_tx
UNION ALL SELECT 'lease', count(*) FROM lease
UNION ALL SELECT 'log_entry', count(*) FROM log_entry
UNION ALL SELECT 'mandate', count(*) FROM mandate
UNION ALL SELECT 'outbox', count(*) FROM outbox
UNION ALL SELECT 'payout', count(*) FROM payout
UNION ALL SELECT 'rail_line', count(*) FROM rail_line
UNION ALL SELECT 'rail_statement', count(*) FROM rail_statement
UNION ALL SELECT 'receipt', count(*) FROM receipt
UNION ALL SELECT 'settlement', count(*) FROM settlement
UNION ALL SELECT 'statement', count(*) FROM statement
UNION ALL SELECT 'transfer', count(*) FROM transfer
UNION ALL SELECT 'tree_head', count(*) FROM tree_head
UNION ALL SELECT 'hold', count(*) FROM transfer WHERE phase = 'hold'
UNION ALL SELECT 'dispute', count(*) FROM dispute
UNION ALL SELECT 'audit_run', count(*) FROM event WHERE deal_id = 'sys_audit'
UNION ALL SELECT 'expiring_hold', count(*) FROM transfer WHERE expires_at IS NOT NULL;

-- name: audit_transfer_malformed
SELECT t.transfer_id, t.tx_id, t.leg, t.asset, t.amount_minor, t.debit_ref, t.credit_ref,
  CASE
    WHEN t.amount_minor < 1 OR t.amount_minor > 9007199254740991
      THEN 'its amount is not between 1 and 2^53-1'
    WHEN t.debit_ref = t.credit_ref THEN 'it debits and credits one account'
    WHEN d.ref IS NULL THEN 'its debit account does not exist in that asset and class'
    ELSE 'its credit account does not exist in that asset and class'
  END AS why
FROM transfer AS t
LEFT JOIN account AS d
  ON d.ref = t.debit_ref AND d.asset = t.asset AND d.account_class = t.debit_class
LEFT JOIN account AS c
  ON c.ref = t.credit_ref AND c.asset = t.asset AND c.account_class = t.credit_class
WHERE t.amount_minor < 1 OR t.amount_minor > 9007199254740991 OR t.debit_ref = t.credit_ref
  OR d.ref IS NULL OR c.ref IS NULL
ORDER BY t.tx_id, t.leg LIMIT 1;

-- name: audit_asset_unbalanced
-- Guarded accounts are counted by their counters, unguarded ones by the transfers, so that a
-- counter changed on its own shows as an imbalance.
WITH side AS (
  SELECT asset, debits_posted AS dp, credits_posted AS cp, debits_held AS dh, credits_held AS ch
  FROM account
  UNION ALL
  SELECT t.asset,
    CASE WHEN t.phase IN ('final', 'post') AND d.guard = 'none' THEN t.amount_minor ELSE 0 END,
    CASE WHEN t.phase IN ('final', 'post') AND c.guard = 'none' THEN t.amount_minor ELSE 0 END,
    CASE WHEN t.phase = 'hold' AND d.guard = 'none' AND r.hold_id IS NULL
      THEN t.amount_minor ELSE 0 END,
    CASE WHEN t.phase = 'hold' AND c.guard = 'none' AND r.hold_id IS NULL
      THEN t.amount_minor ELSE 0 END
  FROM transfer AS t
  LEFT JOIN account AS d ON d.ref = t.debit_ref AND d.asset = t.asset
  LEFT JOIN account AS c ON c.ref = t.credit_ref AND c.asset = t.asset
  LEFT JOIN transfer AS r ON r.hold_id = t.transfer_id
)
SELECT asset, CAST(sum(dp) AS BIGINT) AS debits_posted, CAST(sum(cp) AS BIGINT) AS credits_posted,
  CAST(sum(dh) AS BIGINT) AS debits_held, CAST(sum(ch) AS BIGINT) AS credits_held,
  'debits and credits differ' AS why
FROM side GROUP BY asset
HAVING sum(dp) <> sum(cp) OR sum(dh) <> sum(ch)
ORDER BY asset LIMIT 1;

-- name: audit_transfer_off_list
SELECT t.transfer_id, t.tx_id, t.leg, t.kind, t.debit_class, t.credit_class,
  'this movement is not on the list' AS why
FROM transfer AS t
LEFT JOIN movement_rule AS m
  ON m.kind = t.kind AND m.debit_class = t.debit_class AND m.credit_class = t.credit_class
WHERE m.kind IS NULL OR (t.debit_class = 'agent' AND t.credit_class = 'agent')
ORDER BY t.tx_id, t.leg LIMIT 1;

-- name: audit_movement_rules
-- The list itself: `service/audit_ledger.py` holds the specification's copy.
SELECT kind, debit_class, credit_class FROM movement_rule
ORDER BY kind, debit_class, credit_class;

-- name: audit_tx_legs
SELECT x.tx_id, x.deal_id, count(t.leg) AS legs, min(t.leg) AS first_leg, max(t.leg) AS last_leg,
  'its legs are not 1 to n of one deal, one event and one time' AS why
FROM ledger_tx AS x LEFT JOIN transfer AS t ON t.tx_id = x.tx_id
GROUP BY x.tx_id, x.deal_id, x.event_id, x.booked_at
HAVING count(t.leg) = 0 OR min(t.leg) <> 1 OR max(t.leg) <> count(DISTINCT t.leg)
  OR count(t.leg) <> count(DISTINCT t.leg)
  OR min(t.deal_id) <> x.deal_id OR max(t.deal_id) <> x.deal_id
  OR min(t.event_id) <> x.event_id OR max(t.event_id) <> x.event_id
  OR min(t.booked_at) <> x.booked_at OR max(t.booked_at) <> x.booked_at
ORDER BY x.tx_id LIMIT 1;

-- name: audit_orphan_first
SELECT what, id, why FROM (
  SELECT 'transfer' AS what, t.transfer_id AS id, 'its transaction does not exist' AS why
  FROM transfer AS t LEFT JOIN ledger_tx AS x ON x.tx_id = t.tx_id WHERE x.tx_id IS NULL
  UNION ALL
  SELECT 'ledger_tx', x.tx_id, 'its event does not exist in its deal'
  FROM ledger_tx AS x LEFT JOIN event AS e ON e.event_id = x.event_id AND e.deal_id = x.deal_id
  WHERE e.event_id IS NULL
  UNION ALL
  SELECT 'settlement', s.deal_id, 'its deal or transaction does not exist'
  FROM settlement AS s LEFT JOIN deal AS d ON d.deal_id = s.deal_id
  LEFT JOIN ledger_tx AS x ON x.tx_id = s.tx_id AND x.deal_id = s.deal_id
    AND x.event_id = s.event_id
  WHERE d.deal_id IS NULL OR x.tx_id IS NULL
  UNION ALL
  SELECT 'settlement_payee', p.deal_id, 'its settlement does not exist'
  FROM settlement_payee AS p LEFT JOIN settlement AS s ON s.deal_id = p.deal_id
  WHERE s.deal_id IS NULL
  UNION ALL
  SELECT 'account', a.ref, 'its deal does not exist'
  FROM account AS a LEFT JOIN deal AS d ON d.deal_id = a.deal_id
  WHERE a.deal_id IS NOT NULL AND d.deal_id IS NULL
  UNION ALL
  SELECT 'account', a.ref, 'its holder does not exist'
  FROM account AS a LEFT JOIN agent AS g ON g.agent_id = a.holder
  WHERE a.holder IS NOT NULL AND g.agent_id IS NULL
  UNION ALL
  SELECT 'payout', p.payout_id, 'its settlement does not exist'
  FROM payout AS p LEFT JOIN settlement AS s ON s.deal_id = p.deal_id WHERE s.deal_id IS NULL
  UNION ALL
  SELECT 'payout', p.payout_id, 'its effect does not exist'
  FROM payout AS p LEFT JOIN effect AS f ON f.effect_id = p.effect_id
  WHERE p.effect_id IS NOT NULL AND f.effect_id IS NULL
  UNION ALL
  SELECT 'receipt', r.receipt_id, 'its deal does not exist'
  FROM receipt AS r LEFT JOIN deal AS d ON d.deal_id = r.deal_id WHERE d.deal_id IS NULL
  UNION ALL
  SELECT 'volume_entry', v.deal_id, 'its deal does not exist'
  FROM volume_entry AS v LEFT JOIN deal AS d ON d.deal_id = v.deal_id WHERE d.deal_id IS NULL
  UNION ALL
  SELECT 'refund', r.refund_id, 'its deal, its payment or its effect does not exist'
  FROM refund AS r LEFT JOIN deal AS d ON d.deal_id = r.deal_id
  LEFT JOIN event AS e ON e.event_id = r.payment_event_id
  LEFT JOIN effect AS f ON f.effect_id = r.effect_id
  WHERE d.deal_id IS NULL OR e.event_id IS NULL
    OR (r.effect_id IS NOT NULL AND f.effect_id IS NULL)
  UNION ALL
  SELECT 'dispute', q.dispute_id, 'its deal does not exist'
  FROM dispute AS q LEFT JOIN deal AS d ON d.deal_id = q.deal_id WHERE d.deal_id IS NULL
  UNION ALL
  SELECT 'deal', d.deal_id, 'its mandate does not exist'
  FROM deal AS d LEFT JOIN mandate AS m ON m.mandate_id = d.mandate_id
  WHERE d.mandate_id IS NOT NULL AND m.mandate_id IS NULL
  UNION ALL
  SELECT 'intent', i.intent_id, 'its deal does not exist'
  FROM intent AS i LEFT JOIN deal AS d ON d.deal_id = i.deal_id WHERE d.deal_id IS NULL
  UNION ALL
  SELECT 'bid', b.bid_id, 'its intent does not exist'
  FROM bid AS b LEFT JOIN intent AS i ON i.intent_id = b.intent_id WHERE i.intent_id IS NULL
) AS orphan
ORDER BY what, id LIMIT 1;

-- name: audit_tx_page
-- Transfers with their transaction and its event, in (tx_id, leg) order.
SELECT t.tx_id, t.leg, t.deal_id, t.kind, t.phase, t.asset, t.amount_minor, t.debit_ref,
  t.credit_ref, t.hold_id, x.tx_hash, e.event_type, e.payload
FROM transfer AS t
LEFT JOIN ledger_tx AS x ON x.tx_id = t.tx_id
LEFT JOIN event AS e ON e.event_id = x.event_id
WHERE (t.tx_id, t.leg) > (:tx_id, :leg)
ORDER BY t.tx_id, t.leg LIMIT :limit;

-- name: audit_tx_since_page
-- The same in the order of the log. The plain bound is for the planner: it seeks by it.
SELECT l.log_index, t.tx_id, t.leg, t.deal_id, t.kind, t.phase, t.asset, t.amount_minor,
  t.debit_ref, t.credit_ref, t.hold_id, x.tx_hash, e.event_type, e.payload
FROM log_entry AS l
JOIN ledger_tx AS x ON x.event_id = l.event_id
JOIN transfer AS t ON t.tx_id = x.tx_id
JOIN event AS e ON e.event_id = x.event_id
WHERE l.log_index >= :log_index AND (l.log_index, t.leg) > (:log_index, :leg)
ORDER BY l.log_index, t.leg LIMIT :limit;

-- name: audit_account_faults
-- Checks 7, 11 and 13 in one pass over the transfers: at most one row for each.
WITH line AS (
  SELECT t.debit_ref AS ref, t.asset,
    CASE WHEN t.phase IN ('final', 'post') THEN t.amount_minor ELSE 0 END AS dp, 0 AS cp,
    CASE WHEN t.phase = 'hold' AND r.hold_id IS NULL THEN t.amount_minor ELSE 0 END AS dh,
    0 AS ch
  FROM transfer AS t LEFT JOIN transfer AS r ON r.hold_id = t.transfer_id
  UNION ALL
  SELECT t.credit_ref, t.asset, 0,
    CASE WHEN t.phase IN ('final', 'post') THEN t.amount_minor ELSE 0 END, 0,
    CASE WHEN t.phase = 'hold' AND r.hold_id IS NULL THEN t.amount_minor ELSE 0 END
  FROM transfer AS t LEFT JOIN transfer AS r ON r.hold_id = t.transfer_id
),
moved AS MATERIALIZED (
  SELECT a.ref, a.asset, a.guard, a.debits_posted, a.credits_posted, a.debits_held,
    a.credits_held, a.version,
    CAST(coalesce(sum(l.dp), 0) AS BIGINT) AS dp, CAST(coalesce(sum(l.cp), 0) AS BIGINT) AS cp,
    CAST(coalesce(sum(l.dh), 0) AS BIGINT) AS dh, CAST(coalesce(sum(l.ch), 0) AS BIGINT) AS ch,
    count(l.ref) AS seen
  FROM account AS a LEFT JOIN line AS l ON l.ref = a.ref AND l.asset = a.asset
  WHERE a.guard <> 'none'
  GROUP BY a.ref, a.asset, a.guard, a.debits_posted, a.credits_posted, a.debits_held,
    a.credits_held, a.version
)
SELECT * FROM (
  SELECT 7 AS number, ref, asset, debits_posted AS shown, dp AS counted,
    'a posted counter is not the sum of its transfers' AS why
  FROM moved WHERE debits_posted <> dp ORDER BY ref, asset LIMIT 1) AS a
UNION ALL SELECT * FROM (
  SELECT 7, ref, asset, credits_posted, cp, 'a posted counter is not the sum of its transfers'
  FROM moved WHERE credits_posted <> cp ORDER BY ref, asset LIMIT 1) AS b
UNION ALL SELECT * FROM (
  SELECT 7, ref, asset, debits_held, dh, 'a held counter is not the sum of its open holds'
  FROM moved WHERE debits_held <> dh ORDER BY ref, asset LIMIT 1) AS c
UNION ALL SELECT * FROM (
  SELECT 7, ref, asset, credits_held, ch, 'a held counter is not the sum of its open holds'
  FROM moved WHERE credits_held <> ch ORDER BY ref, asset LIMIT 1) AS d
UNION ALL SELECT * FROM (
  SELECT 11, ref, asset, version, seen, 'the version is not the number of its transfers'
  FROM moved WHERE version <> seen ORDER BY ref, asset LIMIT 1) AS e
UNION ALL SELECT * FROM (
  SELECT 13, ref, asset, debits_held + credits_held, dh + ch,
    'what is held is not what its open holds say'
  FROM moved WHERE debits_held + credits_held <> dh + ch ORDER BY ref, asset LIMIT 1) AS f;

-- name: audit_guard_history
-- Every state an account went through, not only the last. The order is that of the log: an event
-- waits for its number until it has committed, and two transactions on one account cannot commit
-- at once, so along one account this is the order in which they happened. Times are not: a
-- transaction that began earlier may have waited for the account.
WITH line AS (
  SELECT a.ref, a.asset, a.guard, t.transfer_id, t.tx_id, t.leg, t.event_id,
    CASE WHEN a.guard = 'credit' THEN
      CASE t.phase WHEN 'final' THEN -t.amount_minor WHEN 'hold' THEN -t.amount_minor
        WHEN 'post' THEN h.amount_minor - t.amount_minor ELSE h.amount_minor END
    ELSE CASE WHEN t.phase IN ('final', 'post') THEN t.amount_minor ELSE 0 END END AS delta
  FROM transfer AS t
  JOIN account AS a ON a.ref = t.debit_ref AND a.asset = t.asset
  LEFT JOIN transfer AS h ON h.transfer_id = t.hold_id
  WHERE a.guard <> 'none'
  UNION ALL
  SELECT a.ref, a.asset, a.guard, t.transfer_id, t.tx_id, t.leg, t.event_id,
    CASE WHEN a.guard = 'debit' THEN
      CASE t.phase WHEN 'final' THEN -t.amount_minor WHEN 'hold' THEN -t.amount_minor
        WHEN 'post' THEN h.amount_minor - t.amount_minor ELSE h.amount_minor END
    ELSE CASE WHEN t.phase IN ('final', 'post') THEN t.amount_minor ELSE 0 END END
  FROM transfer AS t
  JOIN account AS a ON a.ref = t.credit_ref AND a.asset = t.asset
  LEFT JOIN transfer AS h ON h.transfer_id = t.hold_id
  WHERE a.guard <> 'none'
),
placed AS (
  SELECT line.*,
    coalesce(l.log_index, 4000000000000000000 + coalesce(p.seq, 0)) AS place
  FROM line
  LEFT JOIN log_entry AS l ON l.event_id = line.event_id
  LEFT JOIN event AS e ON e.event_id = line.event_id
  LEFT JOIN event_pending AS p ON p.deal_id = e.deal_id AND p.version = e.version
),
running AS (
  SELECT ref, asset, transfer_id, tx_id, leg, place,
    sum(delta) OVER (PARTITION BY ref, asset ORDER BY place, tx_id, leg
      ROWS UNBOUNDED PRECEDING) AS headroom
  FROM placed
)
SELECT ref, asset, transfer_id, tx_id, leg, CAST(headroom AS BIGINT) AS headroom,
  'after this transfer the account was overdrawn' AS why
FROM running WHERE headroom < 0
ORDER BY place, tx_id, leg LIMIT 1;

-- name: audit_account_overdrawn
SELECT ref, asset, guard, debits_posted, credits_posted, debits_held, credits_held,
  'less than nothing is available' AS why
FROM account
WHERE (guard = 'credit' AND debits_posted + debits_held > credits_posted)
  OR (guard = 'debit' AND credits_posted + credits_held > debits_posted)
ORDER BY ref, asset LIMIT 1;

-- name: audit_hold_misresolved
SELECT r.transfer_id, r.hold_id, r.phase, r.amount_minor, h.amount_minor AS hold_amount_minor,
  'it resolves no hold, or one of other accounts, another kind or less' AS why
FROM transfer AS r
LEFT JOIN transfer AS h ON h.transfer_id = r.hold_id AND h.phase = 'hold'
WHERE r.phase IN ('post', 'void', 'expire')
  AND (h.transfer_id IS NULL OR r.amount_minor > h.amount_minor OR r.asset <> h.asset
    OR r.kind <> h.kind OR r.debit_ref <> h.debit_ref OR r.credit_ref <> h.credit_ref)
ORDER BY r.tx_id, r.leg LIMIT 1;

-- name: audit_hold_twice
SELECT hold_id, count(*) AS resolutions, 'it was resolved more than once' AS why
FROM transfer WHERE hold_id IS NOT NULL
GROUP BY hold_id HAVING count(*) > 1 ORDER BY hold_id LIMIT 1;

-- name: audit_hold_late
-- :swept is a minute ago: expiries are swept within 60 seconds.
SELECT h.transfer_id, h.expires_at, r.booked_at,
  CASE WHEN r.transfer_id IS NULL THEN 'it expired and was not swept'
    ELSE 'it was posted after it had expired' END AS why
FROM transfer AS h LEFT JOIN transfer AS r ON r.hold_id = h.transfer_id
WHERE h.phase = 'hold' AND h.expires_at IS NOT NULL
  AND ((r.transfer_id IS NULL AND h.expires_at < :swept)
    OR (r.phase = 'post' AND r.booked_at > h.expires_at))
ORDER BY h.tx_id, h.leg LIMIT 1;

-- name: audit_escrow_flow
WITH line AS (
  SELECT t.credit_ref AS ref, t.asset, t.amount_minor AS moved, t.deal_id, t.phase
  FROM transfer AS t WHERE t.credit_class = 'escrow'
  UNION ALL
  SELECT t.debit_ref, t.asset, -t.amount_minor, t.deal_id, t.phase
  FROM transfer AS t WHERE t.debit_class = 'escrow'
)
SELECT a.ref, a.asset, a.deal_id, a.credits_posted - a.debits_posted AS locked_minor,
  CAST(coalesce(sum(CASE WHEN l.phase IN ('final', 'post') THEN l.moved END), 0) AS BIGINT)
    AS in_less_out_minor,
  'what came in is not what went out and is locked, or a foreign deal touched it' AS why
FROM account AS a LEFT JOIN line AS l ON l.ref = a.ref AND l.asset = a.asset
WHERE a.account_class = 'escrow'
GROUP BY a.ref, a.asset, a.deal_id, a.credits_posted, a.debits_posted
HAVING a.credits_posted - a.debits_posted
    <> coalesce(sum(CASE WHEN l.phase IN ('final', 'post') THEN l.moved END), 0)
  OR min(l.deal_id) <> a.deal_id OR max(l.deal_id) <> a.deal_id
ORDER BY a.ref LIMIT 1;

-- name: audit_escrow_terminal
-- What an open refund holds is on its way out.
SELECT a.ref, a.asset, d.state, a.credits_posted - a.debits_posted - a.debits_held AS left_minor,
  'the deal is over and money is left' AS why
FROM account AS a JOIN deal AS d ON d.deal_id = a.deal_id
WHERE a.account_class IN ('escrow', 'dispute') AND d.state IN ('settled', 'refunded', 'cancelled')
  AND a.credits_posted - a.debits_posted - a.debits_held <> 0
ORDER BY a.ref LIMIT 1;

-- name: audit_owed_uncovered
-- What is owed, by the counters; what is at the rails, by the transfers.
WITH owed AS (
  SELECT asset, sum(credits_posted - debits_posted) AS minor FROM account
  WHERE account_class IN ('agent', 'mandate', 'escrow', 'dispute') GROUP BY asset
),
line AS (
  SELECT asset, amount_minor AS minor FROM transfer
  WHERE debit_class IN ('clearing', 'payout_transit') AND phase IN ('final', 'post')
  UNION ALL
  SELECT asset, -amount_minor FROM transfer
  WHERE credit_class IN ('clearing', 'payout_transit') AND phase IN ('final', 'post')
),
cash AS (SELECT asset, sum(minor) AS minor FROM line GROUP BY asset)
SELECT o.asset, CAST(o.minor AS BIGINT) AS owed_minor,
  CAST(coalesce(c.minor, 0) AS BIGINT) AS covered_minor,
  'more is owed than the rails hold and owe us' AS why
FROM owed AS o LEFT JOIN cash AS c ON c.asset = o.asset
WHERE o.minor > coalesce(c.minor, 0)
ORDER BY o.asset LIMIT 1;
