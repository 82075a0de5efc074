-- Statements of rails and their lines.

-- name: rail_line_add
INSERT INTO rail_line (rail, line_id, statement_id, kind, asset, amount_minor, rail_ref,
  obligation_key, occurred_at)
VALUES (:rail, :line_id, :statement_id, :kind, :asset, :amount_minor, :rail_ref,
  :obligation_key, :occurred_at)
ON CONFLICT (rail, line_id) DO NOTHING;

-- name: rail_statement_add
INSERT INTO rail_statement (statement_id, rail, source, starts_at, ends_at, line_count, digest,
  imported_at)
VALUES (:statement_id, :rail, :source, :starts_at, :ends_at, :line_count, :digest, :imported_at);

-- name: rail_statement_same
SELECT statement_id FROM rail_statement
WHERE rail = :rail AND source = :source AND starts_at = :starts_at AND ends_at = :ends_at
  AND digest = :digest
ORDER BY statement_id LIMIT 1;

-- name: rail_statement_last
SELECT max(ends_at) AS ends_at FROM rail_statement WHERE rail = :rail AND source = :source;

-- name: rail_statement_rail
SELECT ref FROM account WHERE ref = :ref LIMIT 1;
