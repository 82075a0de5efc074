-- The list arrives as an array.

-- name: caller_find_keys
SELECT k.*, a.name AS agent_name, a.status AS agent_status, a.verifier AS agent_verifier
FROM api_key AS k JOIN agent AS a ON a.agent_id = k.agent_id
WHERE k.key_prefix = ANY(:prefixes)
