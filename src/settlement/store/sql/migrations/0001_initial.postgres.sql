-- Initial schema, PostgreSQL. The same tables, columns and order as in the SQLite file. Texts
-- compare byte by byte (COLLATE "C"), as SQLite does and as times and ids need; all integers are
-- bigint. Tables whose rows change keep room in their pages, so that a change stays in its page and
-- touches no index. A foreign key is checked row by row here, at 4 us each; where a trigger of 0002
-- looks at the parent anyway, once per statement, it stands alone: transfer and settlement to
-- ledger_tx (which is never deleted from), settlement_payee to deal.

CREATE TABLE setting (
  name text COLLATE "C" NOT NULL PRIMARY KEY,
  value text COLLATE "C" NOT NULL
);

CREATE TABLE asset (
  asset text COLLATE "C" NOT NULL PRIMARY KEY,
  scale bigint NOT NULL CONSTRAINT asset_scale CHECK (scale BETWEEN 0 AND 9)
);

CREATE TABLE agent (
  agent_id text COLLATE "C" NOT NULL PRIMARY KEY,
  name text COLLATE "C" NOT NULL,
  agent_type text COLLATE "C" NOT NULL,
  capabilities text COLLATE "C" NOT NULL,
  description text COLLATE "C" NOT NULL,
  api_endpoint text COLLATE "C" NOT NULL,
  owner_email text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL
    CONSTRAINT agent_status CHECK (status IN ('active', 'suspended')),
  operator bigint NOT NULL CONSTRAINT agent_operator CHECK (operator IN (0, 1)),
  created_at text COLLATE "C" NOT NULL
);
CREATE INDEX agent_by_name ON agent (name);

CREATE TABLE api_key (
  key_prefix text COLLATE "C" NOT NULL PRIMARY KEY,
  key_id text COLLATE "C" NOT NULL UNIQUE,
  agent_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  name text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL CONSTRAINT api_key_digest CHECK (length(digest) = 64),
  scopes text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL
    CONSTRAINT api_key_status CHECK (status IN ('active', 'grace', 'revoked')),
  created_at text COLLATE "C" NOT NULL,
  expires_at text COLLATE "C",
  grace_until text COLLATE "C",
  rotated_from text COLLATE "C" UNIQUE,
  revoked_at text COLLATE "C"
);
CREATE INDEX api_key_by_agent ON api_key (agent_id);

CREATE TABLE actor_key (
  key_id text COLLATE "C" NOT NULL PRIMARY KEY,
  actor_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  actor_type text COLLATE "C" NOT NULL,
  key_class text COLLATE "C" NOT NULL,
  public_key_base64 text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL
    CONSTRAINT actor_key_status CHECK (status IN ('active', 'revoked')),
  issued_at text COLLATE "C" NOT NULL,
  revoked_at text COLLATE "C",
  CONSTRAINT actor_key_revoked_at CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE UNIQUE INDEX actor_key_active ON actor_key (actor_id) WHERE status = 'active';

CREATE TABLE deal (
  deal_id text COLLATE "C" NOT NULL PRIMARY KEY,
  state text COLLATE "C" NOT NULL
    CONSTRAINT deal_state CHECK (state IN ('created', 'proof_ready', 'go_approved',
      'settling', 'settled', 'disputed', 'refunded', 'cancelled')),
  version bigint NOT NULL CONSTRAINT deal_version CHECK (version >= 0),
  head_hash text COLLATE "C" NOT NULL,
  asset text COLLATE "C" NOT NULL REFERENCES asset (asset),
  open bigint NOT NULL CONSTRAINT deal_open CHECK (open IN (0, 1)),
  seller_label text COLLATE "C" NOT NULL,
  seller_id text COLLATE "C" REFERENCES agent (agent_id),
  buyer_label text COLLATE "C" NOT NULL,
  buyer_id text COLLATE "C" REFERENCES agent (agent_id),
  vertical text COLLATE "C" NOT NULL,
  sku_id text COLLATE "C" NOT NULL,
  proof_type text COLLATE "C" NOT NULL,
  proof_hash text COLLATE "C" NOT NULL,
  scope_summary text COLLATE "C" NOT NULL,
  scope_lock_hash text COLLATE "C" NOT NULL,
  scope_digest text COLLATE "C" NOT NULL,
  policy text COLLATE "C" NOT NULL,
  policy_hash text COLLATE "C" NOT NULL,
  price_minor bigint NOT NULL,
  quote_digest text COLLATE "C" NOT NULL,
  quote_expires_at text COLLATE "C" NOT NULL,
  gross_minor bigint CONSTRAINT deal_gross_minor CHECK (gross_minor > 0),
  fee_policy text COLLATE "C",
  fee_policy_hash text COLLATE "C",
  tier text COLLATE "C",
  volume_minor bigint,
  approval_authority text COLLATE "C",
  approval_mode text COLLATE "C",
  approved_by text COLLATE "C",
  mandate_id text COLLATE "C",
  acceptance_id text COLLATE "C",
  acceptance_state text COLLATE "C",
  funding text COLLATE "C",
  funding_rail text COLLATE "C",
  charge_refusals bigint NOT NULL CONSTRAINT deal_charge_refusals CHECK (charge_refusals >= 0),
  intent_id text COLLATE "C",
  created_at text COLLATE "C" NOT NULL,
  updated_at text COLLATE "C" NOT NULL,
  settled_at text COLLATE "C",
  CONSTRAINT deal_gross_with_policy CHECK ((gross_minor IS NULL) = (fee_policy IS NULL))
) WITH (fillfactor = 80);

CREATE TABLE party (
  deal_id text COLLATE "C" NOT NULL REFERENCES deal (deal_id),
  agent_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  role text COLLATE "C" NOT NULL CONSTRAINT party_role CHECK (role IN ('seller', 'buyer', 'payee')),
  PRIMARY KEY (deal_id, agent_id, role)
);
CREATE INDEX party_by_agent ON party (agent_id, deal_id);

CREATE TABLE proof (
  deal_id text COLLATE "C" NOT NULL REFERENCES deal (deal_id),
  n bigint NOT NULL CONSTRAINT proof_n CHECK (n >= 0),
  proof_type text COLLATE "C" NOT NULL,
  proof_hash text COLLATE "C" NOT NULL,
  proof_data text COLLATE "C" NOT NULL,
  attachment_url text COLLATE "C",
  parent_proof_ids text COLLATE "C" NOT NULL,
  agent text COLLATE "C" NOT NULL,
  created_at text COLLATE "C" NOT NULL,
  PRIMARY KEY (deal_id, n)
);

-- Chain rules (spec 8.1): the key refuses a fork, the trigger in 0002 a gap and a wrong link.
CREATE TABLE event (
  deal_id text COLLATE "C" NOT NULL,
  version bigint NOT NULL CONSTRAINT event_version CHECK (version >= 0),
  event_id text COLLATE "C" NOT NULL UNIQUE,
  event_type text COLLATE "C" NOT NULL,
  actor_id text COLLATE "C" NOT NULL,
  actor_role text COLLATE "C",
  counterparty_id text COLLATE "C",
  amount_minor bigint,
  asset text COLLATE "C",
  source text COLLATE "C" NOT NULL,
  timestamp text COLLATE "C" NOT NULL,
  payload text COLLATE "C" NOT NULL,
  actor_signature text COLLATE "C",
  prev_hash text COLLATE "C" NOT NULL,
  hash text COLLATE "C" NOT NULL CONSTRAINT event_hash CHECK (length(hash) = 64),
  PRIMARY KEY (deal_id, version)
);

-- Committed events that have no log index yet. Rows are deleted as the sequencer assigns one:
-- a number handed out by the database is not in commit order, so "greater than last seen" would
-- skip events.
CREATE TABLE event_pending (
  seq bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  deal_id text COLLATE "C" NOT NULL,
  version bigint NOT NULL
);

CREATE TABLE movement_rule (
  kind text COLLATE "C" NOT NULL,
  debit_class text COLLATE "C" NOT NULL,
  credit_class text COLLATE "C" NOT NULL,
  PRIMARY KEY (kind, debit_class, credit_class),
  CONSTRAINT movement_rule_never_agent_to_agent
    CHECK (NOT (debit_class = 'agent' AND credit_class = 'agent'))
);

CREATE TABLE account (
  ref text COLLATE "C" NOT NULL,
  asset text COLLATE "C" NOT NULL REFERENCES asset (asset),
  account_class text COLLATE "C" NOT NULL,
  guard text COLLATE "C" NOT NULL,
  holder text COLLATE "C" REFERENCES agent (agent_id),
  deal_id text COLLATE "C" REFERENCES deal (deal_id),
  debits_posted bigint NOT NULL CONSTRAINT account_debits_posted CHECK (debits_posted >= 0),
  credits_posted bigint NOT NULL CONSTRAINT account_credits_posted CHECK (credits_posted >= 0),
  debits_held bigint NOT NULL CONSTRAINT account_debits_held CHECK (debits_held >= 0),
  credits_held bigint NOT NULL CONSTRAINT account_credits_held CHECK (credits_held >= 0),
  version bigint NOT NULL CONSTRAINT account_version CHECK (version >= 0),
  opened_at text COLLATE "C" NOT NULL,
  closed_at text COLLATE "C",
  PRIMARY KEY (ref, asset),
  UNIQUE (ref, asset, account_class),
  CONSTRAINT account_guard_of_class CHECK (
    (account_class IN ('agent', 'mandate', 'escrow', 'dispute') AND guard = 'credit')
    OR (account_class = 'receivable' AND guard = 'debit')
    OR (account_class IN ('fee_platform', 'fee_protocol', 'write_off', 'clearing',
        'payout_transit') AND guard = 'none')),
  CONSTRAINT account_ref_of_class CHECK (
    CASE account_class
      WHEN 'agent' THEN holder IS NOT NULL AND ref = 'entity:' || holder
      WHEN 'receivable' THEN holder IS NOT NULL AND ref = 'receivable:' || holder
      WHEN 'escrow' THEN deal_id IS NOT NULL AND ref = 'escrow:' || deal_id
      WHEN 'dispute' THEN deal_id IS NOT NULL AND ref = 'dispute:' || deal_id
      WHEN 'mandate' THEN holder IS NOT NULL AND substr(ref, 1, 8) = 'mandate:'
      ELSE holder IS NULL AND deal_id IS NULL
        AND substr(ref, 1, length(account_class) + 1) = account_class || ':'
    END),
  CONSTRAINT account_not_overdrawn CHECK (
    CASE guard
      WHEN 'credit' THEN debits_posted + debits_held <= credits_posted
      WHEN 'debit' THEN credits_posted + credits_held <= debits_posted
      ELSE debits_posted = 0 AND credits_posted = 0 AND debits_held = 0 AND credits_held = 0
    END)
) WITH (fillfactor = 80);
CREATE INDEX account_by_holder ON account (holder) WHERE holder IS NOT NULL;

CREATE TABLE ledger_tx (
  tx_id text COLLATE "C" NOT NULL PRIMARY KEY,
  deal_id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL UNIQUE
    REFERENCES event (event_id) DEFERRABLE INITIALLY DEFERRED,
  settles text COLLATE "C" UNIQUE,
  tx_hash text COLLATE "C" NOT NULL CONSTRAINT ledger_tx_tx_hash CHECK (length(tx_hash) = 64),
  booked_at text COLLATE "C" NOT NULL,
  UNIQUE (tx_id, deal_id),
  CONSTRAINT ledger_tx_settles_its_deal CHECK (settles IS NULL OR settles = deal_id)
);
CREATE INDEX ledger_tx_by_deal ON ledger_tx (deal_id);

CREATE TABLE transfer (
  transfer_id text COLLATE "C" NOT NULL UNIQUE,
  tx_id text COLLATE "C" NOT NULL,
  leg bigint NOT NULL CONSTRAINT transfer_leg CHECK (leg >= 1),
  deal_id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  phase text COLLATE "C" NOT NULL
    CONSTRAINT transfer_phase CHECK (phase IN ('final', 'hold', 'post', 'void', 'expire')),
  asset text COLLATE "C" NOT NULL,
  amount_minor bigint NOT NULL
    CONSTRAINT transfer_amount_minor CHECK (amount_minor BETWEEN 1 AND 9007199254740991),
  debit_ref text COLLATE "C" NOT NULL,
  debit_class text COLLATE "C" NOT NULL,
  credit_ref text COLLATE "C" NOT NULL,
  credit_class text COLLATE "C" NOT NULL,
  hold_id text COLLATE "C",
  expires_at text COLLATE "C",
  booked_at text COLLATE "C" NOT NULL,
  PRIMARY KEY (tx_id, leg),
  CONSTRAINT transfer_debit_account FOREIGN KEY (debit_ref, asset, debit_class)
    REFERENCES account (ref, asset, account_class),
  CONSTRAINT transfer_credit_account FOREIGN KEY (credit_ref, asset, credit_class)
    REFERENCES account (ref, asset, account_class),
  CONSTRAINT transfer_movement FOREIGN KEY (kind, debit_class, credit_class)
    REFERENCES movement_rule (kind, debit_class, credit_class),
  CONSTRAINT transfer_two_accounts CHECK (debit_ref <> credit_ref),
  CONSTRAINT transfer_never_agent_to_agent
    CHECK (NOT (debit_class = 'agent' AND credit_class = 'agent')),
  CONSTRAINT transfer_hold_named CHECK (
    (phase IN ('post', 'void', 'expire')) = (hold_id IS NOT NULL)),
  CONSTRAINT transfer_expiry_of_hold CHECK (phase = 'hold' OR expires_at IS NULL)
);
CREATE INDEX transfer_by_deal ON transfer (deal_id);
CREATE UNIQUE INDEX transfer_resolves_once ON transfer (hold_id) WHERE hold_id IS NOT NULL;

CREATE TABLE settlement (
  deal_id text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES deal (deal_id),
  tx_id text COLLATE "C" NOT NULL UNIQUE,
  event_id text COLLATE "C" NOT NULL UNIQUE,
  asset text COLLATE "C" NOT NULL,
  gross_minor bigint NOT NULL CONSTRAINT settlement_gross_minor CHECK (gross_minor > 0),
  platform_fee_minor bigint NOT NULL
    CONSTRAINT settlement_platform_fee_minor CHECK (platform_fee_minor >= 0),
  protocol_fee_minor bigint NOT NULL
    CONSTRAINT settlement_protocol_fee_minor CHECK (protocol_fee_minor >= 0),
  net_minor bigint NOT NULL CONSTRAINT settlement_net_minor CHECK (net_minor > 0),
  components text COLLATE "C" NOT NULL,
  fee_policy text COLLATE "C" NOT NULL,
  fee_policy_hash text COLLATE "C" NOT NULL,
  tier text COLLATE "C" NOT NULL,
  volume_minor bigint NOT NULL,
  seller_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  buyer_id text COLLATE "C",
  settled_at text COLLATE "C" NOT NULL,
  CONSTRAINT settlement_splits_sum
    CHECK (gross_minor = platform_fee_minor + protocol_fee_minor + net_minor)
);

-- Here and not above: PostgreSQL wants the table to be there first.
ALTER TABLE ledger_tx ADD CONSTRAINT ledger_tx_settles_fkey FOREIGN KEY (settles)
  REFERENCES settlement (deal_id) DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE settlement_payee (
  deal_id text COLLATE "C" NOT NULL,
  position bigint NOT NULL CONSTRAINT settlement_payee_position CHECK (position >= 0),
  agent_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  role text COLLATE "C" NOT NULL,
  share text COLLATE "C" NOT NULL,
  fee_minor bigint NOT NULL CONSTRAINT settlement_payee_fee_minor CHECK (fee_minor >= 0),
  net_minor bigint NOT NULL CONSTRAINT settlement_payee_net_minor CHECK (net_minor > 0),
  PRIMARY KEY (deal_id, position),
  UNIQUE (deal_id, agent_id)
);

CREATE TABLE volume_entry (
  agent_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  asset text COLLATE "C" NOT NULL,
  n bigint NOT NULL CONSTRAINT volume_entry_n CHECK (n >= 1),
  at text COLLATE "C" NOT NULL,
  delta_minor bigint NOT NULL,
  total_minor bigint NOT NULL,
  deal_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (agent_id, asset, n)
);
CREATE INDEX volume_entry_by_time ON volume_entry (agent_id, asset, at, n);

CREATE TABLE receipt (
  receipt_id text COLLATE "C" NOT NULL PRIMARY KEY,
  deal_id text COLLATE "C" NOT NULL REFERENCES deal (deal_id),
  proof_hash text COLLATE "C" NOT NULL,
  provider text COLLATE "C" NOT NULL,
  provider_type text COLLATE "C" NOT NULL,
  proof_type text COLLATE "C" NOT NULL,
  verified bigint NOT NULL CONSTRAINT receipt_verified CHECK (verified IN (0, 1)),
  confidence text COLLATE "C" NOT NULL,
  verification_hash text COLLATE "C" NOT NULL,
  receipt_hash text COLLATE "C" NOT NULL,
  receipt_digest text COLLATE "C" NOT NULL,
  checks_run text COLLATE "C" NOT NULL,
  authority text COLLATE "C" NOT NULL
    CONSTRAINT receipt_authority CHECK (authority IN ('verifier', 'operator', 'party', 'open')),
  event_id text COLLATE "C",
  created_at text COLLATE "C" NOT NULL,
  UNIQUE (receipt_digest, authority)
);
CREATE INDEX receipt_by_deal ON receipt (deal_id);

CREATE TABLE claim (
  scope text COLLATE "C" NOT NULL,
  operation text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  key_digest text COLLATE "C" NOT NULL,
  principal text COLLATE "C" NOT NULL,
  deal_id text COLLATE "C",
  args text COLLATE "C" NOT NULL,
  fingerprint text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL CONSTRAINT claim_state CHECK (state IN ('running', 'done')),
  phase text COLLATE "C" NOT NULL,
  fence bigint NOT NULL,
  outcome text COLLATE "C",
  target_scope text COLLATE "C",
  target_key text COLLATE "C",
  first_seen text COLLATE "C" NOT NULL,
  finished_at text COLLATE "C",
  PRIMARY KEY (scope, operation, key)
) WITH (fillfactor = 80);
CREATE INDEX claim_by_key ON claim (key);
CREATE INDEX claim_by_target ON claim (target_scope, operation, target_key)
  WHERE target_scope IS NOT NULL;

CREATE TABLE destination (
  destination_id text COLLATE "C" NOT NULL PRIMARY KEY,
  owner_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  rail text COLLATE "C" NOT NULL,
  address text COLLATE "C" NOT NULL,
  metadata text COLLATE "C" NOT NULL,
  auto bigint NOT NULL CONSTRAINT destination_auto CHECK (auto IN (0, 1)),
  status text COLLATE "C" NOT NULL
    CONSTRAINT destination_status CHECK (status IN ('active', 'unsupported', 'paused')),
  created_at text COLLATE "C" NOT NULL
);
CREATE INDEX destination_by_owner ON destination (owner_id);

CREATE TABLE effect (
  effect_id text COLLATE "C" NOT NULL PRIMARY KEY,
  obligation_key text COLLATE "C" NOT NULL UNIQUE,
  kind text COLLATE "C" NOT NULL
    CONSTRAINT effect_kind CHECK (kind IN ('payment_link', 'charge', 'refund', 'payout')),
  deal_id text COLLATE "C" NOT NULL,
  rail text COLLATE "C" NOT NULL,
  asset text COLLATE "C" NOT NULL REFERENCES asset (asset),
  amount_minor bigint NOT NULL CONSTRAINT effect_amount_minor CHECK (amount_minor > 0),
  state text COLLATE "C" NOT NULL
    CONSTRAINT effect_state CHECK (state IN ('planned', 'sent', 'confirmed', 'refused', 'unknown')),
  fence bigint NOT NULL CONSTRAINT effect_fence CHECK (fence >= 0),
  destination text COLLATE "C",
  plan text COLLATE "C" NOT NULL,
  claim_operation text COLLATE "C",
  claim_key text COLLATE "C",
  payout_id text COLLATE "C",
  rail_ref text COLLATE "C",
  refusal text COLLATE "C",
  ask_count bigint NOT NULL CONSTRAINT effect_ask_count CHECK (ask_count >= 0),
  sent_at text COLLATE "C",
  asked_at text COLLATE "C",
  created_at text COLLATE "C" NOT NULL,
  updated_at text COLLATE "C" NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX effect_by_deal ON effect (deal_id);
CREATE INDEX effect_open ON effect (state, updated_at)
  WHERE state IN ('planned', 'sent', 'unknown');

CREATE TABLE payout (
  payout_id text COLLATE "C" NOT NULL PRIMARY KEY,
  deal_id text COLLATE "C" NOT NULL REFERENCES deal (deal_id),
  agent_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  asset text COLLATE "C" NOT NULL,
  amount_minor bigint NOT NULL CONSTRAINT payout_amount_minor CHECK (amount_minor > 0),
  rail text COLLATE "C" NOT NULL,
  destination_id text COLLATE "C",
  state text COLLATE "C" NOT NULL
    CONSTRAINT payout_state CHECK (state IN ('planned', 'sent', 'unknown', 'confirmed', 'refused')),
  refusals bigint NOT NULL CONSTRAINT payout_refusals CHECK (refusals >= 0),
  effect_id text COLLATE "C",
  hold_id text COLLATE "C",
  waiting_for text COLLATE "C",
  waiting_since text COLLATE "C",
  next_check_at text COLLATE "C",
  attempts bigint NOT NULL,
  rail_ref text COLLATE "C",
  created_at text COLLATE "C" NOT NULL,
  updated_at text COLLATE "C" NOT NULL,
  UNIQUE (deal_id, agent_id)
) WITH (fillfactor = 80);
CREATE INDEX payout_by_agent ON payout (agent_id, payout_id);

CREATE TABLE job (
  job_id text COLLATE "C" NOT NULL PRIMARY KEY,
  job_type text COLLATE "C" NOT NULL,
  deal_id text COLLATE "C" NOT NULL,
  payload text COLLATE "C" NOT NULL,
  dedup_key text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL
   
   
    CONSTRAINT job_status CHECK (
      status IN ('queued', 'leased', 'retry', 'done', 'dead', 'cancelled')),
  attempts bigint NOT NULL,
  max_attempts bigint NOT NULL,
  lost_leases bigint NOT NULL,
  run_at_us bigint NOT NULL,
  lease_owner text COLLATE "C",
  lease_fence bigint NOT NULL CONSTRAINT job_lease_fence CHECK (lease_fence >= 0),
  lease_expires_us bigint,
  last_error text COLLATE "C",
  result text COLLATE "C",
  created_at text COLLATE "C" NOT NULL,
  updated_at text COLLATE "C" NOT NULL,
  UNIQUE (job_type, dedup_key)
) WITH (fillfactor = 80);
CREATE INDEX job_ready ON job (run_at_us) WHERE status IN ('queued', 'retry');
CREATE INDEX job_leased ON job (lease_expires_us) WHERE status = 'leased';
CREATE INDEX job_dead ON job (job_id) WHERE status = 'dead';

CREATE TABLE outbox (
  seq bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  outbox_id text COLLATE "C" NOT NULL UNIQUE,
  deal_id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  event_type text COLLATE "C" NOT NULL,
  actor_id text COLLATE "C" NOT NULL,
  counterparty_id text COLLATE "C",
  payload text COLLATE "C",
  source text COLLATE "C" NOT NULL,
  timestamp text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL DEFAULT 'pending'
    CONSTRAINT outbox_status CHECK (status IN ('pending', 'emitted', 'parked')),
  attempts bigint NOT NULL DEFAULT 0,
  next_attempt_us bigint NOT NULL DEFAULT 0,
  last_error text COLLATE "C",
  emitted_at text COLLATE "C"
) WITH (fillfactor = 80);
CREATE INDEX outbox_pending ON outbox (seq) WHERE status = 'pending';
CREATE INDEX outbox_head ON outbox (deal_id, seq) WHERE status IN ('pending', 'parked');

CREATE TABLE log_entry (
  log_index bigint NOT NULL PRIMARY KEY CONSTRAINT log_entry_log_index CHECK (log_index >= 0),
  event_id text COLLATE "C" NOT NULL UNIQUE,
  deal_id text COLLATE "C" NOT NULL,
  version bigint NOT NULL,
  leaf_hash text COLLATE "C" NOT NULL CONSTRAINT log_entry_leaf_hash CHECK (length(leaf_hash) = 64),
  UNIQUE (deal_id, version)
);

-- Hashes of complete subtrees at levels 8, 16, 24: a proof reads a few of them instead of history.
CREATE TABLE log_node (
  level bigint NOT NULL,
  idx bigint NOT NULL,
  hash text COLLATE "C" NOT NULL CONSTRAINT log_node_hash CHECK (length(hash) = 64),
  PRIMARY KEY (level, idx)
);

CREATE TABLE tree_head (
  tree_size bigint NOT NULL PRIMARY KEY,
  root_hash text COLLATE "C" NOT NULL CONSTRAINT tree_head_root_hash CHECK (length(root_hash) = 64),
  log_id text COLLATE "C" NOT NULL,
  timestamp text COLLATE "C" NOT NULL,
  key_id text COLLATE "C" NOT NULL,
  algorithm text COLLATE "C" NOT NULL,
  signature text COLLATE "C" NOT NULL
);

CREATE TABLE lease (
  name text COLLATE "C" NOT NULL PRIMARY KEY,
  owner text COLLATE "C" NOT NULL,
  fence bigint NOT NULL CONSTRAINT lease_fence CHECK (fence >= 0),
  expires_us bigint NOT NULL
) WITH (fillfactor = 80);

INSERT INTO asset (asset, scale) VALUES ('USD/2', 2), ('USDC/6', 6);
INSERT INTO setting (name, value) VALUES ('recovery_epoch', '0');

INSERT INTO movement_rule (kind, debit_class, credit_class) VALUES
  ('charge', 'clearing', 'escrow'),
  ('topup', 'clearing', 'agent'),
  ('escrow_fund', 'agent', 'escrow'),
  ('escrow_fund', 'mandate', 'escrow'),
  ('mandate_reserve', 'agent', 'mandate'),
  ('mandate_return', 'mandate', 'agent'),
  ('fee', 'escrow', 'fee_platform'),
  ('fee', 'escrow', 'fee_protocol'),
  ('release', 'escrow', 'agent'),
  ('refund', 'escrow', 'agent'),
  ('refund', 'escrow', 'mandate'),
  ('refund', 'escrow', 'clearing'),
  ('release_back', 'agent', 'escrow'),
  ('release_back', 'receivable', 'escrow'),
  ('fee_back', 'fee_platform', 'escrow'),
  ('fee_back', 'fee_protocol', 'escrow'),
  ('dispute_open', 'escrow', 'dispute'),
  ('dispute_open', 'agent', 'dispute'),
  ('dispute_close', 'dispute', 'escrow'),
  ('payout', 'agent', 'payout_transit'),
  ('payout_settled', 'payout_transit', 'clearing'),
  ('payout_unsettled', 'clearing', 'payout_transit'),
  ('payout_returned', 'payout_transit', 'agent'),
  ('chargeback', 'escrow', 'clearing'),
  ('chargeback', 'agent', 'clearing'),
  ('chargeback', 'receivable', 'clearing'),
  ('recover', 'agent', 'receivable'),
  ('write_off', 'write_off', 'receivable');
