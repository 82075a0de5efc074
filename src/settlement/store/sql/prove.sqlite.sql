-- name: prove_layer_texts
SELECT type, sql FROM sqlite_schema WHERE sql IS NOT NULL;

-- name: prove_guards
SELECT coalesce(tbl_name || '.', '') || name AS name, sql AS digest
FROM sqlite_schema WHERE sql IS NOT NULL AND type IN ('table', 'trigger', 'index');
