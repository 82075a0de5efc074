-- Checkpoints of balances, SQLite: what had moved on each unguarded account up to a place in the log.
-- Rows are added and never changed.

CREATE TABLE balance_checkpoint (
  tree_size INTEGER NOT NULL CONSTRAINT balance_checkpoint_tree_size CHECK (tree_size > 0),
  ref TEXT NOT NULL,
  asset TEXT NOT NULL,
  debits_posted INTEGER NOT NULL
    CONSTRAINT balance_checkpoint_debits CHECK (debits_posted >= 0),
  credits_posted INTEGER NOT NULL
    CONSTRAINT balance_checkpoint_credits CHECK (credits_posted >= 0),
  PRIMARY KEY (tree_size, ref, asset),
  FOREIGN KEY (ref, asset) REFERENCES account (ref, asset)
) STRICT;

CREATE TRIGGER balance_checkpoint_no_update BEFORE UPDATE ON balance_checkpoint
BEGIN
  SELECT RAISE (ABORT, 'settlement: balance_checkpoint_append_only');
END;

CREATE TRIGGER balance_checkpoint_no_delete BEFORE DELETE ON balance_checkpoint
BEGIN
  SELECT RAISE (ABORT, 'settlement: balance_checkpoint_append_only');
END;
