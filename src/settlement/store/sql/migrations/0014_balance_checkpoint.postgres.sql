-- Checkpoints of balances, PostgreSQL: what had moved on each unguarded account up to a place in the
-- log. Rows are added and never changed.

CREATE TABLE balance_checkpoint (
  tree_size bigint NOT NULL CONSTRAINT balance_checkpoint_tree_size CHECK (tree_size > 0),
  ref text COLLATE "C" NOT NULL,
  asset text COLLATE "C" NOT NULL,
  debits_posted bigint NOT NULL
    CONSTRAINT balance_checkpoint_debits CHECK (debits_posted >= 0),
  credits_posted bigint NOT NULL
    CONSTRAINT balance_checkpoint_credits CHECK (credits_posted >= 0),
  PRIMARY KEY (tree_size, ref, asset),
  FOREIGN KEY (ref, asset) REFERENCES account (ref, asset)
);

CREATE TRIGGER balance_checkpoint_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON balance_checkpoint
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('balance_checkpoint_append_only');
