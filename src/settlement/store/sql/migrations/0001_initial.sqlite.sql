-- Initial schema, SQLite. Column order = field order of core/rows.py. Rules that PostgreSQL
-- keeps with statement triggers are row triggers here, because SQLite has no others.

CREATE TABLE setting (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE asset (
  asset TEXT NOT NULL PRIMARY KEY,
  scale INTEGER NOT NULL CONSTRAINT asset_scale CHECK (scale BETWEEN 0 AND 9)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent (
  agent_id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  agent_type TEXT NOT NULL,
  capabilities TEXT NOT NULL,
  description TEXT NOT NULL,
  api_endpoint TEXT NOT NULL,
  owner_email TEXT NOT NULL,
  status TEXT NOT NULL CONSTRAINT agent_status CHECK (status IN ('active', 'suspended')),
  operator INTEGER NOT NULL CONSTRAINT agent_operator CHECK (operator IN (0, 1)),
  created_at TEXT NOT NULL
) STRICT;
CREATE INDEX agent_by_name ON agent (name);

CREATE TABLE api_key (
  key_prefix TEXT NOT NULL PRIMARY KEY,
  key_id TEXT NOT NULL UNIQUE,
  agent_id TEXT NOT NULL REFERENCES agent (agent_id),
  name TEXT NOT NULL,
  digest TEXT NOT NULL CONSTRAINT api_key_digest CHECK (length(digest) = 64),
  scopes TEXT NOT NULL,
  status TEXT NOT NULL CONSTRAINT api_key_status CHECK (status IN ('active', 'grace', 'revoked')),
  created_at TEXT NOT NULL,
  expires_at TEXT,
  grace_until TEXT,
  rotated_from TEXT UNIQUE,
  revoked_at TEXT
) STRICT;
CREATE INDEX api_key_by_agent ON api_key (agent_id);

CREATE TABLE actor_key (
  key_id TEXT NOT NULL PRIMARY KEY,
  actor_id TEXT NOT NULL REFERENCES agent (agent_id),
  actor_type TEXT NOT NULL,
  key_class TEXT NOT NULL,
  public_key_base64 TEXT NOT NULL,
  status TEXT NOT NULL CONSTRAINT actor_key_status CHECK (status IN ('active', 'revoked')),
  issued_at TEXT NOT NULL,
  revoked_at TEXT,
  CONSTRAINT actor_key_revoked_at CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX actor_key_active ON actor_key (actor_id) WHERE status = 'active';

CREATE TABLE deal (
  deal_id TEXT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL
    CONSTRAINT deal_state CHECK (state IN ('created', 'proof_ready', 'go_approved',
      'settling', 'settled', 'disputed', 'refunded', 'cancelled')),
  version INTEGER NOT NULL CONSTRAINT deal_version CHECK (version >= 0),
  head_hash TEXT NOT NULL,
  asset TEXT NOT NULL REFERENCES asset (asset),
  open INTEGER NOT NULL CONSTRAINT deal_open CHECK (open IN (0, 1)),
  seller_label TEXT NOT NULL,
  seller_id TEXT REFERENCES agent (agent_id),
  buyer_label TEXT NOT NULL,
  buyer_id TEXT REFERENCES agent (agent_id),
  vertical TEXT NOT NULL,
  sku_id TEXT NOT NULL,
  proof_type TEXT NOT NULL,
  proof_hash TEXT NOT NULL,
  scope_summary TEXT NOT NULL,
  scope_lock_hash TEXT NOT NULL,
  scope_digest TEXT NOT NULL,
  policy TEXT NOT NULL,
  policy_hash TEXT NOT NULL,
  price_minor INTEGER NOT NULL,
  quote_digest TEXT NOT NULL,
  quote_expires_at TEXT NOT NULL,
  gross_minor INTEGER CONSTRAINT deal_gross_minor CHECK (gross_minor > 0),
  fee_policy TEXT,
  fee_policy_hash TEXT,
  tier TEXT,
  volume_minor INTEGER,
  approval_authority TEXT,
  approval_mode TEXT,
  approved_by TEXT,
  mandate_id TEXT,
  acceptance_id TEXT,
  acceptance_state TEXT,
  funding TEXT,
  funding_rail TEXT,
  charge_refusals INTEGER NOT NULL CONSTRAINT deal_charge_refusals CHECK (charge_refusals >= 0),
  intent_id TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  settled_at TEXT,
  CONSTRAINT deal_gross_with_policy CHECK ((gross_minor IS NULL) = (fee_policy IS NULL))
) STRICT;

CREATE TABLE party (
  deal_id TEXT NOT NULL REFERENCES deal (deal_id),
  agent_id TEXT NOT NULL REFERENCES agent (agent_id),
  role TEXT NOT NULL CONSTRAINT party_role CHECK (role IN ('seller', 'buyer', 'payee')),
  PRIMARY KEY (deal_id, agent_id, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX party_by_agent ON party (agent_id, deal_id);

CREATE TABLE proof (
  deal_id TEXT NOT NULL REFERENCES deal (deal_id),
  n INTEGER NOT NULL CONSTRAINT proof_n CHECK (n >= 0),
  proof_type TEXT NOT NULL,
  proof_hash TEXT NOT NULL,
  proof_data TEXT NOT NULL,
  attachment_url TEXT,
  parent_proof_ids TEXT NOT NULL,
  agent TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (deal_id, n)
) STRICT, WITHOUT ROWID;

-- Chain rules (spec 8.1): the key refuses a fork, the trigger in 0002 a gap and a wrong link.
CREATE TABLE event (
  deal_id TEXT NOT NULL,
  version INTEGER NOT NULL CONSTRAINT event_version CHECK (version >= 0),
  event_id TEXT NOT NULL UNIQUE,
  event_type TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  actor_role TEXT,
  counterparty_id TEXT,
  amount_minor INTEGER,
  asset TEXT,
  source TEXT NOT NULL,
  timestamp TEXT NOT NULL,
  payload TEXT NOT NULL,
  actor_signature TEXT,
  prev_hash TEXT NOT NULL,
  hash TEXT NOT NULL CONSTRAINT event_hash CHECK (length(hash) = 64),
  PRIMARY KEY (deal_id, version)
) STRICT;

-- Committed events that have no log index yet. Rows are deleted as the sequencer assigns one:
-- a number handed out by the database is not in commit order, so "greater than last seen" would
-- skip events.
CREATE TABLE event_pending (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  deal_id TEXT NOT NULL,
  version INTEGER NOT NULL
) STRICT;

CREATE TABLE movement_rule (
  kind TEXT NOT NULL,
  debit_class TEXT NOT NULL,
  credit_class TEXT NOT NULL,
  PRIMARY KEY (kind, debit_class, credit_class),
  CONSTRAINT movement_rule_never_agent_to_agent
    CHECK (NOT (debit_class = 'agent' AND credit_class = 'agent'))
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
  ref TEXT NOT NULL,
  asset TEXT NOT NULL REFERENCES asset (asset),
  account_class TEXT NOT NULL,
  guard TEXT NOT NULL,
  holder TEXT REFERENCES agent (agent_id),
  deal_id TEXT REFERENCES deal (deal_id),
  debits_posted INTEGER NOT NULL CONSTRAINT account_debits_posted CHECK (debits_posted >= 0),
  credits_posted INTEGER NOT NULL CONSTRAINT account_credits_posted CHECK (credits_posted >= 0),
  debits_held INTEGER NOT NULL CONSTRAINT account_debits_held CHECK (debits_held >= 0),
  credits_held INTEGER NOT NULL CONSTRAINT account_credits_held CHECK (credits_held >= 0),
  version INTEGER NOT NULL CONSTRAINT account_version CHECK (version >= 0),
  opened_at TEXT NOT NULL,
  closed_at TEXT,
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
) STRICT;
CREATE INDEX account_by_holder ON account (holder) WHERE holder IS NOT NULL;

CREATE TABLE ledger_tx (
  tx_id TEXT NOT NULL PRIMARY KEY,
  deal_id TEXT NOT NULL,
  event_id TEXT NOT NULL UNIQUE REFERENCES event (event_id) DEFERRABLE INITIALLY DEFERRED,
  settles TEXT UNIQUE REFERENCES settlement (deal_id) DEFERRABLE INITIALLY DEFERRED,
  tx_hash TEXT NOT NULL CONSTRAINT ledger_tx_tx_hash CHECK (length(tx_hash) = 64),
  booked_at TEXT NOT NULL,
  UNIQUE (tx_id, deal_id),
  CONSTRAINT ledger_tx_settles_its_deal CHECK (settles IS NULL OR settles = deal_id)
) STRICT;
CREATE INDEX ledger_tx_by_deal ON ledger_tx (deal_id);

CREATE TABLE transfer (
  transfer_id TEXT NOT NULL UNIQUE,
  tx_id TEXT NOT NULL,
  leg INTEGER NOT NULL CONSTRAINT transfer_leg CHECK (leg >= 1),
  deal_id TEXT NOT NULL,
  event_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  phase TEXT NOT NULL
    CONSTRAINT transfer_phase CHECK (phase IN ('final', 'hold', 'post', 'void', 'expire')),
  asset TEXT NOT NULL,
  amount_minor INTEGER NOT NULL
    CONSTRAINT transfer_amount_minor CHECK (amount_minor BETWEEN 1 AND 9007199254740991),
  debit_ref TEXT NOT NULL,
  debit_class TEXT NOT NULL,
  credit_ref TEXT NOT NULL,
  credit_class TEXT NOT NULL,
  hold_id TEXT,
  expires_at TEXT,
  booked_at TEXT NOT NULL,
  PRIMARY KEY (tx_id, leg),
  CONSTRAINT transfer_tx FOREIGN KEY (tx_id, deal_id) REFERENCES ledger_tx (tx_id, deal_id),
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
) STRICT;
CREATE INDEX transfer_by_deal ON transfer (deal_id);
CREATE UNIQUE INDEX transfer_resolves_once ON transfer (hold_id) WHERE hold_id IS NOT NULL;

CREATE TABLE settlement (
  deal_id TEXT NOT NULL PRIMARY KEY REFERENCES deal (deal_id),
  tx_id TEXT NOT NULL UNIQUE REFERENCES ledger_tx (tx_id),
  event_id TEXT NOT NULL UNIQUE,
  asset TEXT NOT NULL,
  gross_minor INTEGER NOT NULL CONSTRAINT settlement_gross_minor CHECK (gross_minor > 0),
  platform_fee_minor INTEGER NOT NULL
    CONSTRAINT settlement_platform_fee_minor CHECK (platform_fee_minor >= 0),
  protocol_fee_minor INTEGER NOT NULL
    CONSTRAINT settlement_protocol_fee_minor CHECK (protocol_fee_minor >= 0),
  net_minor INTEGER NOT NULL CONSTRAINT settlement_net_minor CHECK (net_minor > 0),
  components TEXT NOT NULL,
  fee_policy TEXT NOT NULL,
  fee_policy_hash TEXT NOT NULL,
  tier TEXT NOT NULL,
  volume_minor INTEGER NOT NULL,
  seller_id TEXT NOT NULL REFERENCES agent (agent_id),
  buyer_id TEXT,
  settled_at TEXT NOT NULL,
  CONSTRAINT settlement_splits_sum
    CHECK (gross_minor = platform_fee_minor + protocol_fee_minor + net_minor)
) STRICT;

CREATE TABLE settlement_payee (
  deal_id TEXT NOT NULL REFERENCES deal (deal_id),
  position INTEGER NOT NULL CONSTRAINT settlement_payee_position CHECK (position >= 0),
  agent_id TEXT NOT NULL REFERENCES agent (agent_id),
  role TEXT NOT NULL,
  share TEXT NOT NULL,
  fee_minor INTEGER NOT NULL CONSTRAINT settlement_payee_fee_minor CHECK (fee_minor >= 0),
  net_minor INTEGER NOT NULL CONSTRAINT settlement_payee_net_minor CHECK (net_minor > 0),
  PRIMARY KEY (deal_id, position),
  UNIQUE (deal_id, agent_id)
) STRICT;

CREATE TABLE volume_entry (
  agent_id TEXT NOT NULL REFERENCES agent (agent_id),
  asset TEXT NOT NULL,
  n INTEGER NOT NULL CONSTRAINT volume_entry_n CHECK (n >= 1),
  at TEXT NOT NULL,
  delta_minor INTEGER NOT NULL,
  total_minor INTEGER NOT NULL,
  deal_id TEXT NOT NULL,
  PRIMARY KEY (agent_id, asset, n)
) STRICT;
CREATE INDEX volume_entry_by_time ON volume_entry (agent_id, asset, at, n);

CREATE TABLE receipt (
  receipt_id TEXT NOT NULL PRIMARY KEY,
  deal_id TEXT NOT NULL REFERENCES deal (deal_id),
  proof_hash TEXT NOT NULL,
  provider TEXT NOT NULL,
  provider_type TEXT NOT NULL,
  proof_type TEXT NOT NULL,
  verified INTEGER NOT NULL CONSTRAINT receipt_verified CHECK (verified IN (0, 1)),
  confidence TEXT NOT NULL,
  verification_hash TEXT NOT NULL,
  receipt_hash TEXT NOT NULL,
  receipt_digest TEXT NOT NULL,
  checks_run TEXT NOT NULL,
  authority TEXT NOT NULL
    CONSTRAINT receipt_authority CHECK (authority IN ('verifier', 'operator', 'party', 'open')),
  event_id TEXT,
  created_at TEXT NOT NULL,
  UNIQUE (receipt_digest, authority)
) STRICT;
CREATE INDEX receipt_by_deal ON receipt (deal_id);

CREATE TABLE claim (
  scope TEXT NOT NULL,
  operation TEXT NOT NULL,
  key TEXT NOT NULL,
  key_digest TEXT NOT NULL,
  principal TEXT NOT NULL,
  deal_id TEXT,
  args TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  state TEXT NOT NULL CONSTRAINT claim_state CHECK (state IN ('running', 'done')),
  phase TEXT NOT NULL,
  fence INTEGER NOT NULL,
  outcome TEXT,
  target_scope TEXT,
  target_key TEXT,
  first_seen TEXT NOT NULL,
  finished_at TEXT,
  PRIMARY KEY (scope, operation, key)
) STRICT;
CREATE INDEX claim_by_key ON claim (key);
CREATE INDEX claim_by_target ON claim (target_scope, operation, target_key)
  WHERE target_scope IS NOT NULL;

CREATE TABLE destination (
  destination_id TEXT NOT NULL PRIMARY KEY,
  owner_id TEXT NOT NULL REFERENCES agent (agent_id),
  rail TEXT NOT NULL,
  address TEXT NOT NULL,
  metadata TEXT NOT NULL,
  auto INTEGER NOT NULL CONSTRAINT destination_auto CHECK (auto IN (0, 1)),
  status TEXT NOT NULL
    CONSTRAINT destination_status CHECK (status IN ('active', 'unsupported', 'paused')),
  created_at TEXT NOT NULL
) STRICT;
CREATE INDEX destination_by_owner ON destination (owner_id);

CREATE TABLE effect (
  effect_id TEXT NOT NULL PRIMARY KEY,
  obligation_key TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL
    CONSTRAINT effect_kind CHECK (kind IN ('payment_link', 'charge', 'refund', 'payout')),
  deal_id TEXT NOT NULL,
  rail TEXT NOT NULL,
  asset TEXT NOT NULL REFERENCES asset (asset),
  amount_minor INTEGER NOT NULL CONSTRAINT effect_amount_minor CHECK (amount_minor > 0),
  state TEXT NOT NULL
    CONSTRAINT effect_state CHECK (state IN ('planned', 'sent', 'confirmed', 'refused', 'unknown')),
  fence INTEGER NOT NULL CONSTRAINT effect_fence CHECK (fence >= 0),
  destination TEXT,
  plan TEXT NOT NULL,
  claim_operation TEXT,
  claim_key TEXT,
  payout_id TEXT,
  rail_ref TEXT,
  refusal TEXT,
  ask_count INTEGER NOT NULL CONSTRAINT effect_ask_count CHECK (ask_count >= 0),
  sent_at TEXT,
  asked_at TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX effect_by_deal ON effect (deal_id);
CREATE INDEX effect_open ON effect (state, updated_at)
  WHERE state IN ('planned', 'sent', 'unknown');

CREATE TABLE payout (
  payout_id TEXT NOT NULL PRIMARY KEY,
  deal_id TEXT NOT NULL REFERENCES deal (deal_id),
  agent_id TEXT NOT NULL REFERENCES agent (agent_id),
  asset TEXT NOT NULL,
  amount_minor INTEGER NOT NULL CONSTRAINT payout_amount_minor CHECK (amount_minor > 0),
  rail TEXT NOT NULL,
  destination_id TEXT,
  state TEXT NOT NULL
    CONSTRAINT payout_state CHECK (state IN ('planned', 'sent', 'unknown', 'confirmed', 'refused')),
  refusals INTEGER NOT NULL CONSTRAINT payout_refusals CHECK (refusals >= 0),
  effect_id TEXT,
  hold_id TEXT,
  waiting_for TEXT,
  waiting_since TEXT,
  next_check_at TEXT,
  attempts INTEGER NOT NULL,
  rail_ref TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (deal_id, agent_id)
) STRICT;
CREATE INDEX payout_by_agent ON payout (agent_id, payout_id);

CREATE TABLE job (
  job_id TEXT NOT NULL PRIMARY KEY,
  job_type TEXT NOT NULL,
  deal_id TEXT NOT NULL,
  payload TEXT NOT NULL,
  dedup_key TEXT NOT NULL,
  status TEXT NOT NULL
   
    CONSTRAINT job_status CHECK (
      status IN ('queued', 'leased', 'retry', 'done', 'dead', 'cancelled')),
  attempts INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  lost_leases INTEGER NOT NULL,
  run_at_us INTEGER NOT NULL,
  lease_owner TEXT,
  lease_fence INTEGER NOT NULL CONSTRAINT job_lease_fence CHECK (lease_fence >= 0),
  lease_expires_us INTEGER,
  last_error TEXT,
  result TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (job_type, dedup_key)
) STRICT;
CREATE INDEX job_ready ON job (run_at_us) WHERE status IN ('queued', 'retry');
CREATE INDEX job_leased ON job (lease_expires_us) WHERE status = 'leased';
CREATE INDEX job_dead ON job (job_id) WHERE status = 'dead';

CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  outbox_id TEXT NOT NULL UNIQUE,
  deal_id TEXT NOT NULL,
  event_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  counterparty_id TEXT,
  payload TEXT,
  source TEXT NOT NULL,
  timestamp TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'pending'
    CONSTRAINT outbox_status CHECK (status IN ('pending', 'emitted', 'parked')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_us INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  emitted_at TEXT
) STRICT;
CREATE INDEX outbox_pending ON outbox (seq) WHERE status = 'pending';
CREATE INDEX outbox_head ON outbox (deal_id, seq) WHERE status IN ('pending', 'parked');

CREATE TABLE log_entry (
  log_index INTEGER NOT NULL PRIMARY KEY CONSTRAINT log_entry_log_index CHECK (log_index >= 0),
  event_id TEXT NOT NULL UNIQUE,
  deal_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  leaf_hash TEXT NOT NULL CONSTRAINT log_entry_leaf_hash CHECK (length(leaf_hash) = 64),
  UNIQUE (deal_id, version)
) STRICT;

-- Hashes of complete subtrees at levels 8, 16, 24: a proof reads a few of them instead of history.
CREATE TABLE log_node (
  level INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  hash TEXT NOT NULL CONSTRAINT log_node_hash CHECK (length(hash) = 64),
  PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE tree_head (
  tree_size INTEGER NOT NULL PRIMARY KEY,
  root_hash TEXT NOT NULL CONSTRAINT tree_head_root_hash CHECK (length(root_hash) = 64),
  log_id TEXT NOT NULL,
  timestamp TEXT NOT NULL,
  key_id TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  signature TEXT NOT NULL
) STRICT;

CREATE TABLE lease (
  name TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  fence INTEGER NOT NULL CONSTRAINT lease_fence CHECK (fence >= 0),
  expires_us INTEGER NOT NULL
) STRICT;

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
