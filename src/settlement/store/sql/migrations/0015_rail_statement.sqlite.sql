-- What rails say they moved, SQLite: each import of a statement with the time it covers, and its
-- lines. Rows are added and never changed. A line may be in an asset that is not ours: it is the
-- rail's word, and the audit is what finds that nothing here belongs to it.

CREATE TABLE rail_statement (
  statement_id TEXT NOT NULL PRIMARY KEY,
  rail TEXT NOT NULL,
  source TEXT NOT NULL CONSTRAINT rail_statement_source CHECK (source IN ('rail', 'file')),
  starts_at TEXT NOT NULL,
  ends_at TEXT NOT NULL,
  line_count INTEGER NOT NULL CONSTRAINT rail_statement_line_count CHECK (line_count >= 0),
  digest TEXT NOT NULL CONSTRAINT rail_statement_digest CHECK (length(digest) = 64),
  imported_at TEXT NOT NULL,
  CONSTRAINT rail_statement_period CHECK (starts_at <= ends_at)
) STRICT;
CREATE INDEX rail_statement_by_rail ON rail_statement (rail, source, starts_at, statement_id);

CREATE TABLE rail_line (
  rail TEXT NOT NULL,
  line_id TEXT NOT NULL,
  statement_id TEXT NOT NULL REFERENCES rail_statement (statement_id),
  kind TEXT NOT NULL
    CONSTRAINT rail_line_kind CHECK (kind IN ('charge', 'refund', 'payout', 'chargeback')),
  asset TEXT NOT NULL,
  amount_minor INTEGER NOT NULL
    CONSTRAINT rail_line_amount_minor CHECK (amount_minor BETWEEN 1 AND 9007199254740991),
  rail_ref TEXT NOT NULL,
  obligation_key TEXT,
  occurred_at TEXT,
  PRIMARY KEY (rail, line_id)
) STRICT;
CREATE INDEX rail_line_by_ref ON rail_line (rail, rail_ref);

CREATE TRIGGER rail_statement_no_update BEFORE UPDATE ON rail_statement
BEGIN
  SELECT RAISE (ABORT, 'settlement: rail_statement_append_only');
END;

CREATE TRIGGER rail_statement_no_delete BEFORE DELETE ON rail_statement
BEGIN
  SELECT RAISE (ABORT, 'settlement: rail_statement_append_only');
END;

CREATE TRIGGER rail_line_no_update BEFORE UPDATE ON rail_line
BEGIN
  SELECT RAISE (ABORT, 'settlement: rail_line_append_only');
END;

CREATE TRIGGER rail_line_no_delete BEFORE DELETE ON rail_line
BEGIN
  SELECT RAISE (ABORT, 'settlement: rail_line_append_only');
END;
