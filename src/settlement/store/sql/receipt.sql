-- Verification receipts.

-- name: receipt_list
SELECT receipt_id, deal_id, proof_hash, provider, provider_type, proof_type, verified, confidence,
  verification_hash, receipt_hash, receipt_digest, checks_run, authority, event_id, created_at
FROM receipt WHERE deal_id = :deal_id ORDER BY created_at, receipt_id;

-- name: receipt_find
SELECT receipt_id, deal_id, proof_hash, provider, provider_type, proof_type, verified, confidence,
  verification_hash, receipt_hash, receipt_digest, checks_run, authority, event_id, created_at
FROM receipt WHERE receipt_id = :receipt_id;
