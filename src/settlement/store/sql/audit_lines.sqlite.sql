-- SQLite has no arrays: the lists arrive as JSON text.

-- name: audit_lines_of
-- In no order: asked for one, SQLite goes through all lines of the rail by their ids.
SELECT line_id, kind, asset, amount_minor, rail_ref FROM rail_line
WHERE rail = :rail AND rail_ref IN (SELECT value FROM json_each(:refs));

-- name: audit_answers_of
SELECT deal_id, rail, kind, rail_ref, created_at FROM effect
WHERE deal_id IN (SELECT value FROM json_each(:deals)) AND state = 'confirmed';
