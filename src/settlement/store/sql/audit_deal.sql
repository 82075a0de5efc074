-- What `settlement audit` reads about deals, settlements, effects and claims. Fault queries return
-- their first bad row with a sentence in `why`, or nothing.

-- name: audit_settlement_legs
WITH legs AS (
  SELECT s.deal_id,
    sum(CASE WHEN t.kind = 'fee' AND t.credit_class = 'fee_platform'
      THEN t.amount_minor ELSE 0 END) AS platform,
    sum(CASE WHEN t.kind = 'fee' AND t.credit_class = 'fee_protocol'
      THEN t.amount_minor ELSE 0 END) AS protocol,
    sum(CASE WHEN t.kind = 'release' THEN t.amount_minor ELSE 0 END) AS net,
    sum(t.amount_minor) AS gross
  FROM settlement AS s JOIN transfer AS t ON t.tx_id = s.tx_id GROUP BY s.deal_id
),
payees AS (
  SELECT deal_id, sum(net_minor) AS net, sum(fee_minor) AS fees
  FROM settlement_payee GROUP BY deal_id
)
SELECT s.deal_id, s.gross_minor, s.platform_fee_minor, s.protocol_fee_minor, s.net_minor,
  'gross, fees and net do not agree with each other, the legs or the payees' AS why
FROM settlement AS s
LEFT JOIN legs AS l ON l.deal_id = s.deal_id
LEFT JOIN payees AS p ON p.deal_id = s.deal_id
WHERE s.gross_minor <> s.platform_fee_minor + s.protocol_fee_minor + s.net_minor
  OR l.deal_id IS NULL OR l.gross <> s.gross_minor OR l.platform <> s.platform_fee_minor
  OR l.protocol <> s.protocol_fee_minor OR l.net <> s.net_minor
  OR p.deal_id IS NULL OR p.net <> s.net_minor
  OR p.fees <> s.platform_fee_minor + s.protocol_fee_minor
ORDER BY s.deal_id LIMIT 1;

-- name: audit_settlement_page
SELECT s.deal_id, s.asset, s.gross_minor, s.platform_fee_minor, s.protocol_fee_minor, s.net_minor,
  s.components, s.fee_policy, s.fee_policy_hash, s.tier, s.volume_minor,
  d.gross_minor AS deal_gross_minor, d.fee_policy_hash AS deal_policy_hash, d.tier AS deal_tier,
  d.volume_minor AS deal_volume_minor,
  (SELECT q.seller_ppm FROM dispute AS q
    WHERE q.deal_id = s.deal_id AND q.deal_state = 'go_approved') AS seller_ppm
FROM settlement AS s LEFT JOIN deal AS d ON d.deal_id = s.deal_id
WHERE s.deal_id > :deal_id ORDER BY s.deal_id LIMIT :limit;

-- name: audit_payee_page
SELECT p.deal_id, p.position, p.agent_id, p.share, p.fee_minor, p.net_minor,
  s.net_minor AS deal_net_minor, s.platform_fee_minor + s.protocol_fee_minor AS deal_fee_minor
FROM settlement_payee AS p JOIN settlement AS s ON s.deal_id = p.deal_id
WHERE (p.deal_id, p.position) > (:deal_id, :position)
ORDER BY p.deal_id, p.position LIMIT :limit;

-- name: audit_volume_broken
WITH step AS (
  SELECT agent_id, asset, n, at, delta_minor, total_minor, deal_id,
    lag(n, 1, 0) OVER chain AS before_n, lag(at, 1, '') OVER chain AS before_at,
    lag(total_minor, 1, 0) OVER chain AS before_minor
  FROM volume_entry WINDOW chain AS (PARTITION BY agent_id, asset ORDER BY n)
)
SELECT v.agent_id, v.asset, v.n, v.deal_id, v.delta_minor, v.total_minor,
  'a running volume does not follow from the one before and its settlement' AS why
FROM step AS v LEFT JOIN settlement AS s ON s.deal_id = v.deal_id
WHERE v.n <> v.before_n + 1 OR v.at < v.before_at OR v.total_minor <> v.before_minor + v.delta_minor
  OR (v.delta_minor > 0 AND (s.deal_id IS NULL OR s.gross_minor <> v.delta_minor
    OR s.seller_id <> v.agent_id))
ORDER BY v.agent_id, v.asset, v.n LIMIT 1;

-- name: audit_stranger_paid
SELECT t.transfer_id, t.deal_id, t.credit_ref, t.amount_minor,
  'it pays somebody who is no payee of the deal, or another sum' AS why
FROM transfer AS t
LEFT JOIN settlement_payee AS p
  ON p.deal_id = t.deal_id AND t.credit_ref = 'entity:' || p.agent_id
    AND p.net_minor = t.amount_minor
LEFT JOIN party AS y ON y.deal_id = p.deal_id AND y.agent_id = p.agent_id
WHERE t.kind = 'release' AND (p.agent_id IS NULL OR y.agent_id IS NULL)
  AND NOT EXISTS (SELECT 1 FROM event AS e JOIN settlement_payee AS q ON q.deal_id = e.deal_id
    WHERE e.event_id = t.event_id AND e.event_type = 'DISPUTE_RESOLVED'
      AND t.credit_ref = 'entity:' || q.agent_id AND t.amount_minor <= q.net_minor)
ORDER BY t.tx_id, t.leg LIMIT 1;

-- name: audit_refund_excess
-- Per deal and account: what came from it, what went back to it.
WITH flow AS (
  SELECT t.deal_id, t.asset, t.debit_ref AS source, t.amount_minor AS given, 0 AS back
  FROM transfer AS t WHERE t.kind IN ('charge', 'escrow_fund') AND t.phase IN ('final', 'post')
  UNION ALL
  SELECT t.deal_id, t.asset, t.credit_ref, 0, t.amount_minor
  FROM transfer AS t WHERE t.kind IN ('refund', 'chargeback') AND t.phase IN ('final', 'post')
)
SELECT deal_id, asset, source, CAST(sum(given) AS BIGINT) AS funded_minor,
  CAST(sum(back) AS BIGINT) AS refunded_minor,
  'more went back than its funder gave' AS why
FROM flow GROUP BY deal_id, asset, source HAVING sum(back) > sum(given)
ORDER BY deal_id LIMIT 1;

-- name: audit_refund_rows
-- A refund's row, the payment it names and the transfers of its deal say one thing.
WITH booked AS (
  SELECT deal_id, sum(amount_minor) AS minor FROM transfer
  WHERE kind IN ('refund', 'chargeback') AND phase IN ('final', 'post') GROUP BY deal_id
),
kept AS (
  SELECT deal_id, sum(amount_minor) AS minor FROM refund WHERE state = 'confirmed' GROUP BY deal_id
)
SELECT coalesce(b.deal_id, r.deal_id) AS deal_id, CAST(coalesce(b.minor, 0) AS BIGINT)
  AS booked_minor, CAST(coalesce(r.minor, 0) AS BIGINT) AS refund_minor,
  'the refunds of this deal are not what its transfers gave back' AS why
FROM booked AS b FULL JOIN kept AS r ON r.deal_id = b.deal_id
WHERE coalesce(b.minor, 0) <> coalesce(r.minor, 0)
ORDER BY 1 LIMIT 1;

-- name: audit_settled_twice
WITH told AS (
  SELECT deal_id, count(*) AS n FROM event WHERE event_type = 'SETTLED' GROUP BY deal_id
),
booked AS (
  SELECT settles AS deal_id, count(*) AS n FROM ledger_tx WHERE settles IS NOT NULL
  GROUP BY settles
)
SELECT d.deal_id, d.state, coalesce(t.n, 0) AS settled_events, coalesce(b.n, 0) AS settling_txs,
  'settlement, its event and its transaction do not stand one to one' AS why
FROM deal AS d
LEFT JOIN settlement AS s ON s.deal_id = d.deal_id
LEFT JOIN told AS t ON t.deal_id = d.deal_id
LEFT JOIN booked AS b ON b.deal_id = d.deal_id
WHERE coalesce(t.n, 0) <> CASE WHEN s.deal_id IS NULL THEN 0 ELSE 1 END
  OR coalesce(b.n, 0) <> CASE WHEN s.deal_id IS NULL THEN 0 ELSE 1 END
  OR (d.state = 'settled' AND s.deal_id IS NULL)
ORDER BY d.deal_id LIMIT 1;

-- name: audit_step_page
-- Events of deals, with what the deal's row claims to have come to.
SELECT e.deal_id, e.version, e.event_id, e.event_type, d.state, d.version AS next_version,
  CASE WHEN e.event_type IN ('PAYMENT_AUTHORIZED', 'REFUNDED', 'CHARGED_BACK')
    THEN e.payload END AS payload
FROM event AS e JOIN deal AS d ON d.deal_id = e.deal_id
WHERE (e.deal_id, e.version) > (:deal_id, :version)
ORDER BY e.deal_id, e.version LIMIT :limit;

-- name: audit_step_since_page
-- Every event of the deals that have one from :since on, under the first such place in the log.
SELECT l.log_index, e.deal_id, e.version, e.event_id, e.event_type, d.state,
  d.version AS next_version,
  CASE WHEN e.event_type IN ('PAYMENT_AUTHORIZED', 'REFUNDED', 'CHARGED_BACK')
    THEN e.payload END AS payload
FROM log_entry AS l
LEFT JOIN log_entry AS b ON b.deal_id = l.deal_id AND b.version = l.version - 1
JOIN event AS e ON e.deal_id = l.deal_id
JOIN deal AS d ON d.deal_id = e.deal_id
WHERE l.log_index >= :log_index AND (l.log_index, e.version) > (:log_index, :version)
  AND l.log_index >= :since AND (b.log_index IS NULL OR b.log_index < :since)
ORDER BY l.log_index, e.version LIMIT :limit;

-- name: audit_event_movements
-- Which movements each type of event caused, with one example of each.
SELECT e.event_type, t.kind, t.phase, min(t.transfer_id) AS transfer_id
FROM transfer AS t JOIN event AS e ON e.event_id = t.event_id
GROUP BY e.event_type, t.kind, t.phase
ORDER BY e.event_type, t.kind, t.phase;

-- name: audit_after_terminal
SELECT t.transfer_id, t.deal_id, t.kind, e.event_type,
  'money moved in a way that the end of the deal forbids' AS why
FROM transfer AS t
JOIN event AS e ON e.event_id = t.event_id
JOIN event AS last ON last.deal_id = t.deal_id
  AND last.event_type IN ('SETTLED', 'DEAL_CANCELLED') AND last.version < e.version
WHERE t.kind IN ('escrow_fund', 'fee', 'release', 'mandate_reserve')
  AND NOT EXISTS (SELECT 1 FROM event AS r WHERE r.deal_id = t.deal_id
    AND r.event_type = 'DISPUTE_RESOLVED' AND r.version <= e.version AND r.version > last.version)
ORDER BY t.tx_id, t.leg LIMIT 1;

-- name: audit_ruling_broken
SELECT d.dispute_id, d.deal_id, d.seller_ppm,
  'a ruling is out of range, or its events are not one to one' AS why
FROM dispute AS d
WHERE (d.seller_ppm IS NOT NULL AND (d.seller_ppm < 0 OR d.seller_ppm > 1000000))
  OR (SELECT count(*) FROM event AS e WHERE e.deal_id = d.deal_id
    AND e.event_type = 'DISPUTE_OPENED') <> 1
  OR (SELECT count(*) FROM event AS e WHERE e.deal_id = d.deal_id
    AND e.event_type = 'DISPUTE_RESOLVED')
    <> CASE WHEN d.status = 'resolved' THEN 1 ELSE 0 END
ORDER BY d.deal_id LIMIT 1;

-- name: audit_ruling_invented
SELECT e.deal_id, e.event_id, e.event_type, 'no dispute of the deal stands behind it' AS why
FROM event AS e LEFT JOIN dispute AS d ON d.deal_id = e.deal_id
WHERE e.event_type IN ('DISPUTE_OPENED', 'DISPUTE_RESOLVED') AND d.dispute_id IS NULL
ORDER BY e.deal_id, e.version LIMIT 1;

-- name: audit_claim_page
SELECT scope, operation, key, key_digest, principal, deal_id, args, fingerprint, state, outcome,
  target_scope, target_key
FROM claim
WHERE (scope, operation, key) > (:scope, :operation, :key)
ORDER BY scope, operation, key LIMIT :limit;

-- name: audit_claim_adrift
-- A second name must point at a claim; a finished one has an outcome. A running one may hold what
-- is planned.
SELECT c.scope, c.operation, c.key, c.state, 'its outcome or its target is missing' AS why
FROM claim AS c
LEFT JOIN claim AS t
  ON t.scope = c.target_scope AND t.operation = c.operation AND t.key = c.target_key
WHERE (c.state = 'done' AND c.outcome IS NULL AND c.target_scope IS NULL)
  OR (c.target_scope IS NOT NULL AND t.scope IS NULL AND c.outcome IS NULL)
ORDER BY c.scope, c.operation, c.key LIMIT 1;

-- name: audit_reversal_excess
-- A settlement is one transaction of its deal, so what is taken back opposes it leg by leg: nobody
-- gives back more of a deal than that deal gave it, be it from its balance or as a debt. What a
-- rail returned opposes the payout of the same payee.
WITH line AS (
  SELECT deal_id, asset, replace(credit_ref, 'entity:', '') AS who, amount_minor AS given, 0 AS back
  FROM transfer WHERE kind IN ('release', 'fee') AND phase IN ('final', 'post')
  UNION ALL
  SELECT deal_id, asset, replace(replace(debit_ref, 'entity:', ''), 'receivable:', ''), 0,
    amount_minor
  FROM transfer WHERE kind IN ('release_back', 'fee_back') AND phase IN ('final', 'post')
  UNION ALL
  SELECT deal_id, asset, 'payout:' || debit_ref, amount_minor, 0
  FROM transfer WHERE kind = 'payout' AND phase = 'post'
  UNION ALL
  SELECT deal_id, asset, 'payout:' || credit_ref, 0, amount_minor
  FROM transfer WHERE kind = 'payout_returned' AND phase IN ('final', 'post')
)
SELECT deal_id, asset, who, CAST(sum(given) AS BIGINT) AS given_minor,
  CAST(sum(back) AS BIGINT) AS back_minor, 'more was taken back than had been given' AS why
FROM line GROUP BY deal_id, asset, who HAVING sum(back) > sum(given)
ORDER BY deal_id, who LIMIT 1;

-- name: audit_reversal_count
SELECT count(*) AS n FROM transfer WHERE kind IN ('release_back', 'fee_back', 'payout_returned');

-- name: audit_once_repeated
-- What happens once per deal left one event, however often it was asked for.
WITH told AS (
  SELECT deal_id,
    sum(CASE WHEN event_type IN ('GO_APPROVED', 'AUTO_GO_APPROVED') THEN 1 ELSE 0 END) AS approved,
    sum(CASE WHEN event_type = 'SETTLED' THEN 1 ELSE 0 END) AS settled,
    sum(CASE WHEN event_type = 'DEAL_CANCELLED' THEN 1 ELSE 0 END) AS cancelled,
    sum(CASE WHEN event_type = 'PAYOUT_INITIATED' THEN 1 ELSE 0 END) AS initiated,
    sum(CASE WHEN event_type = 'PAYOUT_FAILED' THEN 1 ELSE 0 END) AS failed
  FROM event
  WHERE event_type IN ('GO_APPROVED', 'AUTO_GO_APPROVED', 'SETTLED', 'DEAL_CANCELLED',
    'PAYOUT_INITIATED', 'PAYOUT_FAILED')
  GROUP BY deal_id
),
payees AS (SELECT deal_id, count(*) AS n FROM settlement_payee GROUP BY deal_id)
SELECT t.deal_id, 'a once-per-deal operation left its event more than once' AS why
FROM told AS t LEFT JOIN payees AS p ON p.deal_id = t.deal_id
WHERE t.approved > 1 OR t.settled > 1 OR t.cancelled > 1
  OR t.initiated - t.failed > coalesce(p.n, 0)
ORDER BY t.deal_id LIMIT 1;

-- name: audit_obligation_twice
SELECT kind, deal_id, coalesce(payout_id, '') AS payout_id, count(*) AS effects,
  'one obligation has more than one effect that was not refused' AS why
FROM effect WHERE kind IN ('charge', 'payout') AND state <> 'refused'
GROUP BY kind, deal_id, coalesce(payout_id, '') HAVING count(*) > 1
ORDER BY deal_id LIMIT 1;

-- name: audit_payout_hold
SELECT p.payout_id, p.state, f.state AS effect_state, p.hold_id,
  'hold, effect and payout do not agree on whether it is open' AS why
FROM payout AS p
LEFT JOIN effect AS f ON f.effect_id = p.effect_id
LEFT JOIN transfer AS h ON h.transfer_id = p.hold_id AND h.phase = 'hold'
LEFT JOIN transfer AS r ON r.hold_id = h.transfer_id
WHERE (p.state IN ('planned', 'sent', 'unknown')
    AND (f.state IS NULL OR f.state NOT IN ('planned', 'sent', 'unknown')
      OR h.transfer_id IS NULL OR r.transfer_id IS NOT NULL OR h.amount_minor <> p.amount_minor))
  OR (p.state = 'confirmed' AND (f.state IS NULL OR f.state <> 'confirmed'
      OR (h.transfer_id IS NOT NULL AND (r.phase IS NULL OR r.phase <> 'post'))))
  OR (p.state = 'refused' AND h.transfer_id IS NOT NULL AND r.transfer_id IS NULL)
ORDER BY p.payout_id LIMIT 1;

-- name: audit_hold_unowned
-- The other way round: an open payout hold that no open payout points at.
SELECT h.transfer_id, h.deal_id, 'this payout hold is open and no payout is' AS why
FROM transfer AS h
LEFT JOIN transfer AS r ON r.hold_id = h.transfer_id
LEFT JOIN payout AS p ON p.hold_id = h.transfer_id AND p.state IN ('planned', 'sent', 'unknown')
WHERE h.phase = 'hold' AND h.kind = 'payout' AND r.transfer_id IS NULL AND p.payout_id IS NULL
ORDER BY h.tx_id, h.leg LIMIT 1;

-- name: audit_refund_hold
-- What the open refunds of a deal are to give back is what its open holds keep, and each has an
-- open effect.
WITH held AS (
  SELECT h.deal_id, sum(h.amount_minor) AS minor FROM transfer AS h
  LEFT JOIN transfer AS r ON r.hold_id = h.transfer_id
  WHERE h.phase = 'hold' AND h.kind IN ('refund', 'release_back', 'fee_back')
    AND r.transfer_id IS NULL
  GROUP BY h.deal_id
),
kept AS (
  SELECT r.deal_id, sum(r.amount_minor) AS minor,
    sum(CASE WHEN f.state IN ('planned', 'sent', 'unknown') THEN 0 ELSE 1 END) AS idle
  FROM refund AS r LEFT JOIN effect AS f ON f.effect_id = r.effect_id AND f.kind = 'refund'
  WHERE r.state IN ('planned', 'unknown') GROUP BY r.deal_id
)
SELECT coalesce(h.deal_id, k.deal_id) AS deal_id, CAST(coalesce(h.minor, 0) AS BIGINT)
  AS held_minor, CAST(coalesce(k.minor, 0) AS BIGINT) AS refund_minor,
  'open refunds, their holds and their effects do not agree' AS why
FROM held AS h FULL JOIN kept AS k ON k.deal_id = h.deal_id
WHERE coalesce(h.minor, 0) <> coalesce(k.minor, 0) OR coalesce(k.idle, 0) <> 0
ORDER BY 1 LIMIT 1;

-- name: audit_effect_stale
SELECT effect_id, kind, deal_id, sent_at, 'its outcome has been unknown for over a day' AS why
FROM effect WHERE state = 'unknown' AND sent_at < :before
ORDER BY effect_id LIMIT 1;

-- name: audit_outbox_invented
SELECT o.outbox_id, o.event_id, 'it was emitted and its event is not in the chain' AS why
FROM outbox AS o LEFT JOIN event AS e ON e.event_id = o.event_id
WHERE o.status = 'emitted' AND e.event_id IS NULL
ORDER BY o.seq LIMIT 1;

-- name: audit_outbox_missing
SELECT e.event_id, e.deal_id, e.event_type, 'no outbox row will ever deliver it' AS why
FROM event AS e JOIN deal AS d ON d.deal_id = e.deal_id
LEFT JOIN outbox AS o ON o.event_id = e.event_id
WHERE o.outbox_id IS NULL
ORDER BY e.deal_id, e.version LIMIT 1;
