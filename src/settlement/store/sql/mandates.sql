-- Mandates for their buyer.

-- name: mandates_of_buyer
SELECT m.mandate_id, m.buyer_id, m.asset, m.max_amount_minor, m.allowed_verticals,
  m.confidence_threshold, m.reserve_minor, m.status, m.expires_at, m.created_at, m.revoked_at,
  coalesce(a.credits_posted - a.debits_posted - a.debits_held, 0) AS available_minor
FROM mandate AS m
LEFT JOIN account AS a ON a.ref = 'mandate:' || m.mandate_id AND a.asset = m.asset
WHERE m.buyer_id = :buyer_id ORDER BY m.mandate_id DESC LIMIT :limit;

-- name: mandates_live
-- The newest of those that still count, so that a long history stands in nobody's way.
SELECT mandate_id FROM mandate
WHERE buyer_id = :buyer_id AND status = 'active' AND (expires_at IS NULL OR expires_at > :now)
ORDER BY mandate_id DESC LIMIT :limit;
