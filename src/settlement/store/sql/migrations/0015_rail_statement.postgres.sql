-- What rails say they moved, PostgreSQL: each import of a statement with the time it covers, and its
-- lines. Rows are added and never changed. A line may be in an asset that is not ours: it is the
-- rail's word, and the audit is what finds that nothing here belongs to it.

CREATE TABLE rail_statement (
  statement_id text COLLATE "C" NOT NULL PRIMARY KEY,
  rail text COLLATE "C" NOT NULL,
  source text COLLATE "C" NOT NULL
    CONSTRAINT rail_statement_source CHECK (source IN ('rail', 'file')),
  starts_at text COLLATE "C" NOT NULL,
  ends_at text COLLATE "C" NOT NULL,
  line_count bigint NOT NULL CONSTRAINT rail_statement_line_count CHECK (line_count >= 0),
  digest text COLLATE "C" NOT NULL CONSTRAINT rail_statement_digest CHECK (length(digest) = 64),
  imported_at text COLLATE "C" NOT NULL,
  CONSTRAINT rail_statement_period CHECK (starts_at <= ends_at)
);
CREATE INDEX rail_statement_by_rail ON rail_statement (rail, source, starts_at, statement_id);

CREATE TABLE rail_line (
  rail text COLLATE "C" NOT NULL,
  line_id text COLLATE "C" NOT NULL,
  statement_id text COLLATE "C" NOT NULL REFERENCES rail_statement (statement_id),
  kind text COLLATE "C" NOT NULL
    CONSTRAINT rail_line_kind CHECK (kind IN ('charge', 'refund', 'payout', 'chargeback')),
  asset text COLLATE "C" NOT NULL,
  amount_minor bigint NOT NULL
    CONSTRAINT rail_line_amount_minor CHECK (amount_minor BETWEEN 1 AND 9007199254740991),
  rail_ref text COLLATE "C" NOT NULL,
  obligation_key text COLLATE "C",
  occurred_at text COLLATE "C",
  PRIMARY KEY (rail, line_id)
);
CREATE INDEX rail_line_by_ref ON rail_line (rail, rail_ref);

CREATE TRIGGER rail_statement_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rail_statement
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('rail_statement_append_only');

CREATE TRIGGER rail_line_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rail_line
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('rail_line_append_only');
