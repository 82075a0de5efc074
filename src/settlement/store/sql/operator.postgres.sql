-- How durable a commit is, as the server's settings say.

-- name: operator_durability
SELECT current_setting('server_version') AS version, current_setting('fsync') AS journal,
  current_setting('synchronous_commit') AS synchronous;
