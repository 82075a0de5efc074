-- Statements that were given out, PostgreSQL: of whom, of when, at which tree head, and the digest
-- of what they said, so that the audit can make each again and compare.

CREATE TABLE statement (
  statement_id text COLLATE "C" NOT NULL PRIMARY KEY,
  agent_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  asset text COLLATE "C" NOT NULL REFERENCES asset (asset),
  starts_at text COLLATE "C" NOT NULL,
  ends_at text COLLATE "C" NOT NULL,
  tree_size bigint NOT NULL,
  digest text COLLATE "C" NOT NULL CONSTRAINT statement_digest CHECK (length(digest) = 64),
  made_at text COLLATE "C" NOT NULL,
  CONSTRAINT statement_period CHECK (starts_at < ends_at)
);

CREATE TRIGGER statement_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON statement
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('statement_append_only');
