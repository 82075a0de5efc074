-- The list arrives as an array.

-- name: caller_find_keys
SELECT k.key_prefix, k.digest, k.scopes, k.status, k.expires_at, k.grace_until,
       a.agent_id, a.name AS agent_name, a.status AS agent_status
FROM api_key AS k JOIN agent AS a ON a.agent_id = k.agent_id
WHERE k.key_prefix = ANY(:prefixes)
