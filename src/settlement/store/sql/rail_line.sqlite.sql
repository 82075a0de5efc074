-- SQLite has no arrays: the list arrives as JSON text.

-- name: rail_line_of_ids
SELECT line_id, kind, asset, amount_minor, rail_ref, obligation_key, occurred_at FROM rail_line
WHERE rail = :rail AND line_id IN (SELECT value FROM json_each(:ids));
