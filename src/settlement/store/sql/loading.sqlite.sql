-- What a batch of operations reads, SQLite: lists come as JSON text, and nothing is locked, because
-- the one writer is already alone. CROSS JOIN keeps the planner from scanning the table first.

-- name: deal_lock
SELECT * FROM deal WHERE deal_id IN (SELECT value FROM json_each(:ids))
ORDER BY deal_id;

-- name: effect_lock
SELECT * FROM effect WHERE effect_id IN (SELECT value FROM json_each(:ids))
ORDER BY effect_id;

-- name: mandate_lock
SELECT * FROM mandate WHERE mandate_id IN (SELECT value FROM json_each(:ids))
ORDER BY mandate_id;

-- name: account_lock
SELECT t.* FROM json_each(:keys) AS k CROSS JOIN account AS t
  ON t.ref = k.value ->> 0 AND t.asset = k.value ->> 1
ORDER BY t.ref, t.asset;

-- name: claim_by_keys
SELECT t.* FROM json_each(:keys) AS k CROSS JOIN claim AS t
  ON t.scope = k.value ->> 0 AND t.operation = k.value ->> 1 AND t.key = k.value ->> 2
ORDER BY t.scope, t.operation, t.key;

-- name: agent_by_ids
SELECT * FROM agent WHERE agent_id IN (SELECT value FROM json_each(:ids))
ORDER BY agent_id;

-- name: api_key_by_ids
-- With each key the one it succeeded, whose grace ends when it is rotated itself.
SELECT t.* FROM json_each(:ids) AS k CROSS JOIN api_key AS t ON t.key_id = k.value
UNION
SELECT p.* FROM json_each(:ids) AS k CROSS JOIN api_key AS t ON t.key_id = k.value
CROSS JOIN api_key AS p ON p.key_id = t.rotated_from;

-- name: agent_by_names
SELECT * FROM agent WHERE name IN (SELECT value FROM json_each(:names)) ORDER BY name, agent_id;

-- name: acceptance_by_ids
SELECT * FROM acceptance WHERE acceptance_id IN (SELECT value FROM json_each(:ids));

-- name: event_heads
SELECT e.deal_id, e.version, e.hash, e.timestamp FROM json_each(:ids) AS k CROSS JOIN event AS e
  ON e.deal_id = k.value AND e.version = (SELECT max(version) FROM event WHERE deal_id = k.value);

-- name: event_by_ids
SELECT * FROM event WHERE event_id IN (SELECT value FROM json_each(:ids));

-- name: receipt_counting
-- Of the work that is offered now: its hash, and under that hash the content that was judged. Who
-- packs may name an old hash for new work, so where one hash had several contents, the count of packs
-- before the receipt in its chain says which it was of; clocks can be set back, versions cannot.
SELECT r.deal_id, r.provider, r.confidence
FROM json_each(:ids) AS k CROSS JOIN deal AS d ON d.deal_id = k.value
  JOIN receipt AS r ON r.deal_id = d.deal_id AND r.proof_hash = d.proof_hash
WHERE r.verified = 1 AND r.authority IN ('verifier', 'operator')
  AND NOT EXISTS (
    SELECT 1 FROM proof AS judged JOIN proof AS offered ON offered.deal_id = judged.deal_id
    WHERE judged.deal_id = r.deal_id AND judged.proof_hash = r.proof_hash
      AND offered.n = (SELECT max(n) FROM proof WHERE deal_id = r.deal_id)
      AND (judged.proof_type <> offered.proof_type OR judged.proof_data <> offered.proof_data
        OR judged.attachment_url IS NOT offered.attachment_url)
      AND judged.n + 1 = (
        SELECT count(*) FROM event AS seen JOIN event AS pack ON pack.deal_id = seen.deal_id
        WHERE seen.event_id = r.event_id AND pack.version < seen.version
          AND pack.event_type = 'PROOF_READY'))
ORDER BY r.receipt_id;

-- name: receipt_by_digests
SELECT t.* FROM json_each(:keys) AS k CROSS JOIN receipt AS t
  ON t.receipt_digest = k.value ->> 0 AND t.authority = k.value ->> 1
ORDER BY t.receipt_id;

-- name: volume_entry_points
SELECT v.agent_id, v.asset, k.value ->> 2 AS since, v.n, v.at, v.total_minor,
  (SELECT total_minor FROM volume_entry AS b
   WHERE b.agent_id = v.agent_id AND b.asset = v.asset AND b.at <= k.value ->> 2
   ORDER BY at DESC, n DESC LIMIT 1) AS before_window_minor
FROM json_each(:keys) AS k CROSS JOIN volume_entry AS v
  ON v.agent_id = k.value ->> 0 AND v.asset = k.value ->> 1
  AND v.n = (SELECT max(n) FROM volume_entry AS m
             WHERE m.agent_id = k.value ->> 0 AND m.asset = k.value ->> 1);

-- name: payout_by_payees
SELECT t.* FROM json_each(:keys) AS k CROSS JOIN payout AS t
  ON t.deal_id = k.value ->> 0 AND t.agent_id = k.value ->> 1
ORDER BY t.payout_id;

-- name: destination_by_owners
SELECT * FROM destination WHERE owner_id IN (SELECT value FROM json_each(:ids))
ORDER BY destination_id DESC;

-- name: settlement_by_deals
SELECT * FROM settlement WHERE deal_id IN (SELECT value FROM json_each(:ids))
ORDER BY deal_id;

-- name: settlement_payee_by_deals
SELECT * FROM settlement_payee WHERE deal_id IN (SELECT value FROM json_each(:ids))
ORDER BY deal_id, position;

-- name: party_by_deals
SELECT * FROM party WHERE deal_id IN (SELECT value FROM json_each(:ids))
ORDER BY deal_id, agent_id, role;

-- name: proof_totals
SELECT deal_id, count(*) AS n, sum(length(CAST(proof_data AS BLOB))
  + length(CAST(parent_proof_ids AS BLOB))
  + coalesce(length(CAST(attachment_url AS BLOB)), 0)) AS size_bytes
FROM proof WHERE deal_id IN (SELECT value FROM json_each(:ids)) AND n < :most GROUP BY deal_id;

-- name: intent_by_ids
SELECT i.*, (SELECT max(b.n) + 1 FROM bid AS b WHERE b.intent_id = i.intent_id) AS bid_count
FROM intent AS i WHERE i.intent_id IN (SELECT value FROM json_each(:ids));

-- name: bid_by_intents
SELECT * FROM bid WHERE intent_id IN (SELECT value FROM json_each(:ids)) ORDER BY intent_id, n;
