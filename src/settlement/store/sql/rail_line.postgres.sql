-- The list arrives as an array.

-- name: rail_line_of_ids
SELECT line_id, kind, asset, amount_minor, rail_ref, obligation_key, occurred_at FROM rail_line
WHERE rail = :rail AND line_id = ANY(:ids);
