-- API keys as their owners list them. Ids sort by time.

-- name: key_agent_page
SELECT * FROM api_key WHERE agent_id = :agent_id AND key_id < :before
ORDER BY key_id DESC LIMIT :limit;

-- name: key_get
SELECT * FROM api_key WHERE key_id = :key_id;
