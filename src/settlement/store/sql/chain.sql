-- Chains of events.

-- name: chain_events
SELECT deal_id, version, event_id, event_type, actor_id, actor_role, counterparty_id, amount_minor,
  asset, source, timestamp, payload, actor_signature, prev_hash, hash
FROM event WHERE deal_id = :deal_id ORDER BY version;
