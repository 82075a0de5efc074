-- What a batch of operations reads, PostgreSQL: keys come as arrays, rows to change are locked in
-- key order. ANY beside a join keeps it a seek by key (writes.postgres.sql says why).
-- `volume_entry_points` and `event_heads` seek one index entry per key, whatever the age of the
-- ledger.

-- name: deal_lock
SELECT * FROM deal WHERE deal_id = ANY(:ids::text[]) ORDER BY deal_id FOR UPDATE;

-- name: effect_lock
SELECT * FROM effect WHERE effect_id = ANY(:ids::text[]) ORDER BY effect_id FOR UPDATE;

-- name: mandate_lock
SELECT * FROM mandate WHERE mandate_id = ANY(:ids::text[]) ORDER BY mandate_id FOR UPDATE;

-- name: account_lock
-- Only guarded accounts are locked: fee and clearing accounts are part of nearly every batch and
-- change never, so a lock on them would make all processes take turns.
WITH guarded AS (
  SELECT t.* FROM unnest(:ref::text[], :asset::text[]) AS k (ref, asset)
  JOIN account AS t USING (ref, asset)
  WHERE t.ref = ANY(:ref::text[]) AND t.guard <> 'none'
  ORDER BY t.ref, t.asset FOR UPDATE OF t
)
SELECT * FROM guarded
UNION ALL
SELECT t.* FROM unnest(:ref::text[], :asset::text[]) AS k (ref, asset)
JOIN account AS t USING (ref, asset)
WHERE t.ref = ANY(:ref::text[]) AND t.guard = 'none';

-- name: claim_by_keys
SELECT t.* FROM unnest(:scope::text[], :operation::text[], :key::text[])
  AS k (scope, operation, key)
JOIN claim AS t USING (scope, operation, key)
WHERE t.scope = ANY(:scope::text[])
ORDER BY t.scope, t.operation, t.key;

-- name: agent_by_ids
SELECT * FROM agent WHERE agent_id = ANY(:ids::text[]) ORDER BY agent_id;

-- name: api_key_by_ids
-- With each key the one it succeeded, whose grace ends when it is rotated itself.
SELECT * FROM api_key WHERE key_id = ANY(:ids::text[])
UNION
SELECT * FROM api_key WHERE key_id = ANY(ARRAY(
  SELECT rotated_from FROM api_key WHERE key_id = ANY(:ids::text[])));

-- name: agent_by_names
SELECT * FROM agent WHERE name = ANY(:names::text[]) ORDER BY name, agent_id;

-- name: acceptance_by_ids
SELECT * FROM acceptance WHERE acceptance_id = ANY(:ids::text[]);

-- name: event_heads
SELECT k.deal_id, e.version, e.hash, e.timestamp FROM unnest(:ids::text[]) AS k (deal_id)
CROSS JOIN LATERAL (
  SELECT version, hash, timestamp FROM event
  WHERE deal_id = k.deal_id ORDER BY version DESC LIMIT 1) AS e;

-- name: event_by_ids
SELECT * FROM event WHERE event_id = ANY(:ids::text[]);

-- name: receipt_counting
-- Of the work that is offered now: its hash, and under that hash the content that was judged. Who
-- packs may name an old hash for new work, so where one hash had several contents, the count of packs
-- before the receipt in its chain says which it was of; clocks can be set back, versions cannot.
SELECT r.deal_id, r.provider, r.confidence
FROM deal AS d JOIN receipt AS r ON r.deal_id = d.deal_id AND r.proof_hash = d.proof_hash
WHERE d.deal_id = ANY(:ids::text[]) AND r.verified = 1 AND r.authority IN ('verifier', 'operator')
  AND NOT EXISTS (
    SELECT 1 FROM proof AS judged JOIN proof AS offered ON offered.deal_id = judged.deal_id
    WHERE judged.deal_id = r.deal_id AND judged.proof_hash = r.proof_hash
      AND offered.n = (SELECT max(n) FROM proof WHERE deal_id = r.deal_id)
      AND (judged.proof_type <> offered.proof_type OR judged.proof_data <> offered.proof_data
        OR judged.attachment_url IS DISTINCT FROM offered.attachment_url)
      AND judged.n + 1 = (
        SELECT count(*) FROM event AS seen JOIN event AS pack ON pack.deal_id = seen.deal_id
        WHERE seen.event_id = r.event_id AND pack.version < seen.version
          AND pack.event_type = 'PROOF_READY'))
ORDER BY r.receipt_id;

-- name: receipt_by_digests
SELECT t.* FROM unnest(:receipt_digest::text[], :authority::text[]) AS k (receipt_digest, authority)
JOIN receipt AS t USING (receipt_digest, authority)
WHERE t.receipt_digest = ANY(:receipt_digest::text[])
ORDER BY t.receipt_id;

-- name: volume_entry_points
SELECT k.agent_id, k.asset, k.since, now.n, now.at, now.total_minor,
  before.total_minor AS before_window_minor
FROM unnest(:agent_id::text[], :asset::text[], :since::text[]) AS k (agent_id, asset, since)
CROSS JOIN LATERAL (
  SELECT n, at, total_minor FROM volume_entry AS v
  WHERE v.agent_id = k.agent_id AND v.asset = k.asset ORDER BY n DESC LIMIT 1) AS now
LEFT JOIN LATERAL (
  SELECT total_minor FROM volume_entry AS v
  WHERE v.agent_id = k.agent_id AND v.asset = k.asset AND v.at <= k.since
  ORDER BY at DESC, n DESC LIMIT 1) AS before ON true;

-- name: payout_by_payees
SELECT t.* FROM unnest(:deal_id::text[], :agent_id::text[]) AS k (deal_id, agent_id)
JOIN payout AS t USING (deal_id, agent_id)
WHERE t.deal_id = ANY(:deal_id::text[])
ORDER BY t.payout_id;

-- name: destination_by_owners
SELECT * FROM destination WHERE owner_id = ANY(:ids::text[]) ORDER BY destination_id DESC;

-- name: settlement_by_deals
SELECT * FROM settlement WHERE deal_id = ANY(:ids::text[]) ORDER BY deal_id;

-- name: settlement_payee_by_deals
SELECT * FROM settlement_payee WHERE deal_id = ANY(:ids::text[]) ORDER BY deal_id, position;

-- name: party_by_deals
SELECT * FROM party WHERE deal_id = ANY(:ids::text[]) ORDER BY deal_id, agent_id, role;

-- name: proof_totals
SELECT deal_id, count(*) AS n, sum(octet_length(proof_data) + octet_length(parent_proof_ids)
  + coalesce(octet_length(attachment_url), 0))::bigint AS size_bytes
FROM proof WHERE deal_id = ANY(:ids::text[]) AND n < :most GROUP BY deal_id;

-- name: intent_by_ids
SELECT i.*, (SELECT max(b.n) + 1 FROM bid AS b WHERE b.intent_id = i.intent_id) AS bid_count
FROM intent AS i WHERE i.intent_id = ANY(:ids::text[]);

-- name: bid_by_intents
SELECT * FROM bid WHERE intent_id = ANY(:ids::text[]) ORDER BY intent_id, n;
