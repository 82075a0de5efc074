-- Statements that were given out, SQLite: of whom, of when, at which tree head, and the digest of
-- what they said, so that the audit can make each again and compare.

CREATE TABLE statement (
  statement_id TEXT NOT NULL PRIMARY KEY,
  agent_id TEXT NOT NULL REFERENCES agent (agent_id),
  asset TEXT NOT NULL REFERENCES asset (asset),
  starts_at TEXT NOT NULL,
  ends_at TEXT NOT NULL,
  tree_size INTEGER NOT NULL,
  digest TEXT NOT NULL CONSTRAINT statement_digest CHECK (length(digest) = 64),
  made_at TEXT NOT NULL,
  CONSTRAINT statement_period CHECK (starts_at < ends_at)
) STRICT;

CREATE TRIGGER statement_no_update BEFORE UPDATE ON statement
BEGIN
  SELECT RAISE (ABORT, 'settlement: statement_append_only');
END;

CREATE TRIGGER statement_no_delete BEFORE DELETE ON statement
BEGIN
  SELECT RAISE (ABORT, 'settlement: statement_append_only');
END;
