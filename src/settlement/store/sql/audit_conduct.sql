-- What `settlement audit` reads about times, fences and rights: who did what, when, and as whom.

-- name: audit_booked_page
SELECT tx_id, deal_id, booked_at FROM ledger_tx
WHERE tx_id > :tx_id ORDER BY tx_id LIMIT :limit;

-- name: audit_booked_back
-- Steps back along one deal. There are none: a decision is stamped after its deal's last.
WITH step AS (
  SELECT x.deal_id, e.version, x.tx_id, x.booked_at,
    lag(x.booked_at) OVER (PARTITION BY x.deal_id ORDER BY e.version) AS before_at
  FROM ledger_tx AS x JOIN event AS e ON e.event_id = x.event_id
)
SELECT deal_id, version, tx_id, booked_at, before_at,
  'it was booked before what came before it in its deal' AS why
FROM step WHERE booked_at < before_at ORDER BY deal_id, version LIMIT 1;

-- name: audit_fence_stray
-- A fence is epoch * 2^40 + a counter of its name. A restore voids every lease in a new epoch.
WITH held AS (
  SELECT 'lease' AS what, name AS id, fence FROM lease
  UNION ALL SELECT 'job', job_id, lease_fence FROM job
  UNION ALL SELECT 'delivery', delivery_id, lease_fence FROM delivery
  UNION ALL SELECT 'effect', effect_id, fence FROM effect
),
now_in AS (SELECT CAST(value AS BIGINT) AS epoch FROM setting WHERE name = 'recovery_epoch')
SELECT h.what, h.id, h.fence, n.epoch,
  CASE WHEN h.fence < n.epoch * 1099511627776 THEN 'its fence is from before the last recovery'
    ELSE 'its fence is from a recovery that has not been' END AS why
FROM held AS h CROSS JOIN now_in AS n
WHERE h.fence >= (n.epoch + 1) * 1099511627776
  OR (h.what = 'lease' AND h.fence < n.epoch * 1099511627776)
ORDER BY h.what, h.id LIMIT 1;

-- name: audit_epoch
SELECT CAST(value AS BIGINT) AS epoch FROM setting WHERE name = 'recovery_epoch';

-- name: audit_recovery_page
SELECT version, event_id, event_type, payload FROM event
WHERE deal_id = 'sys_recovery' AND version > :version ORDER BY version LIMIT :limit;

-- name: audit_call_page
-- Claims on money calls, with when the last key that could have made each was revoked. A payout
-- that a settlement started by itself stands on its destination instead.
SELECT c.scope, c.operation, c.key, c.principal, c.deal_id, c.first_seen,
  (SELECT max(coalesce(k.revoked_at, '9999'))
    FROM api_key AS k
    WHERE k.agent_id = c.principal AND k.created_at <= c.first_seen
      AND (k.expires_at IS NULL OR k.expires_at > c.first_seen)
      AND (k.status <> 'grace' OR k.grace_until > c.first_seen)
      AND (k.scopes LIKE '%"admin"%' OR k.scopes LIKE '%"' || CASE c.operation
        WHEN 'refund' THEN 'settle' WHEN 'cancel' THEN 'settle' WHEN 'settle' THEN 'settle'
        WHEN 'payout' THEN 'payout' WHEN 'resolve_dispute' THEN 'admin' ELSE 'go' END || '"%'))
    AS live_until,
  (SELECT max(d.auto) FROM destination AS d WHERE d.owner_id = c.principal) AS auto
FROM claim AS c
WHERE c.operation IN ('go', 'settle', 'payout', 'refund', 'cancel', 'dispute', 'resolve_dispute',
    'create_mandate', 'revoke_mandate')
  AND (c.scope, c.operation, c.key) > (:scope, :operation, :key)
ORDER BY c.scope, c.operation, c.key LIMIT :limit;

-- name: audit_quote_expired
-- Whoever shows the quote approves, until it expires.
SELECT e.deal_id, e.event_id, e.timestamp, d.quote_expires_at,
  'it was approved on a quote that had expired' AS why
FROM event AS e JOIN deal AS d ON d.deal_id = e.deal_id
WHERE e.event_type = 'GO_APPROVED' AND e.timestamp > d.quote_expires_at
  AND e.payload LIKE '%"authority": "quote"%'
ORDER BY e.deal_id LIMIT 1;

-- name: audit_mandated_page
SELECT d.deal_id, d.mandate_id, d.vertical, e.timestamp AS approved_at, m.created_at,
  m.expires_at, m.revoked_at, m.allowed_verticals
FROM deal AS d
JOIN event AS e ON e.deal_id = d.deal_id AND e.event_type = 'AUTO_GO_APPROVED'
LEFT JOIN mandate AS m ON m.mandate_id = d.mandate_id
WHERE d.mandate_id IS NOT NULL AND d.deal_id > :deal_id
ORDER BY d.deal_id LIMIT :limit;

-- name: audit_mandate_drawn
SELECT t.transfer_id, t.deal_id, t.debit_ref,
  'it draws on a mandate that did not approve its deal' AS why
FROM transfer AS t
LEFT JOIN deal AS d ON d.deal_id = t.deal_id AND 'mandate:' || d.mandate_id = t.debit_ref
WHERE t.kind = 'escrow_fund' AND t.debit_class = 'mandate' AND d.deal_id IS NULL
ORDER BY t.tx_id, t.leg LIMIT 1;

-- name: audit_mandate_unseen
-- What is not the buyer's own call draws only for work that somebody who counts has looked at: a
-- receipt before the approval, of the hash that was approved and of the content behind it then.
SELECT d.deal_id, d.mandate_id, e.event_id,
  'its seller drew on a mandate for work that nobody who counts had looked at' AS why
FROM deal AS d
JOIN event AS e ON e.deal_id = d.deal_id AND e.event_type = 'AUTO_GO_APPROVED'
WHERE d.mandate_id IS NOT NULL AND e.actor_role = 'seller'
  AND EXISTS (
    SELECT 1 FROM transfer AS t
    WHERE t.deal_id = d.deal_id AND t.kind = 'escrow_fund' AND t.debit_class = 'mandate')
  AND NOT EXISTS (
    SELECT 1 FROM receipt AS r JOIN event AS seen ON seen.event_id = r.event_id
    WHERE r.deal_id = d.deal_id AND r.proof_hash = d.proof_hash AND r.verified = 1
      AND r.authority IN ('verifier', 'operator') AND seen.version < e.version
      AND NOT EXISTS (
        SELECT 1 FROM proof AS judged JOIN proof AS offered ON offered.deal_id = judged.deal_id
        WHERE judged.deal_id = r.deal_id AND judged.proof_hash = r.proof_hash
          AND offered.n = (SELECT max(n) FROM proof WHERE deal_id = r.deal_id)
          AND (judged.proof_type <> offered.proof_type OR judged.proof_data <> offered.proof_data
            OR coalesce(judged.attachment_url, '') <> coalesce(offered.attachment_url, ''))
          AND judged.n + 1 = (
            SELECT count(*) FROM event AS pack
            WHERE pack.deal_id = r.deal_id AND pack.version < seen.version
              AND pack.event_type = 'PROOF_READY')))
ORDER BY d.deal_id LIMIT 1;

-- name: audit_run_page
SELECT version, event_id, event_type, payload FROM event
WHERE deal_id = 'sys_audit' AND version > :version ORDER BY version LIMIT :limit;

-- name: audit_run_covering
-- The newest run on record; the log it saw is in its payload.
SELECT version, payload FROM event
WHERE deal_id = 'sys_audit' AND event_type = 'AUDITED' ORDER BY version DESC LIMIT :limit;
