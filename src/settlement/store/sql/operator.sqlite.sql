-- How durable a commit is, as the connection reports it; PRAGMAs exist on SQLite only.

-- name: operator_durability
SELECT sqlite_version() AS version,
  (SELECT journal_mode FROM pragma_journal_mode) AS journal,
  (SELECT synchronous FROM pragma_synchronous) AS synchronous;

-- Every page and every row of every table, and not what the indexes say. Only SQLite's file lies open
-- to whoever copies over it.
-- name: operator_quick_check
SELECT quick_check AS said FROM pragma_quick_check LIMIT 1;
