-- What a deal's proof bundle and its verification read.

-- name: bundle_deal
SELECT deal_id, version, head_hash FROM deal WHERE deal_id = :deal_id;

-- name: bundle_proof_count
SELECT count(*) AS n FROM proof WHERE deal_id = :deal_id;

-- name: bundle_proofs
SELECT deal_id, n, proof_type, proof_hash, proof_data, attachment_url, parent_proof_ids, agent,
  created_at
FROM proof WHERE deal_id = :deal_id ORDER BY n;
