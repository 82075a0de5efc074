-- The lists arrive as arrays.

-- name: audit_lines_of
SELECT line_id, kind, asset, amount_minor, rail_ref FROM rail_line
WHERE rail = :rail AND rail_ref = ANY(:refs);

-- name: audit_answers_of
SELECT deal_id, rail, kind, rail_ref, created_at FROM effect
WHERE deal_id = ANY(:deals) AND state = 'confirmed';
