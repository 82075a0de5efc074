-- How durable a commit is, as the connection reports it; PRAGMAs exist on SQLite only.

-- name: operator_durability
SELECT sqlite_version() AS version,
  (SELECT journal_mode FROM pragma_journal_mode) AS journal,
  (SELECT synchronous FROM pragma_synchronous) AS synchronous;
