-- Rules that the database keeps by itself, SQLite. Every refusal has a stable name, the same as in
-- the PostgreSQL file: 'settlement: <name>'. Rows are checked one by one, in the order they arrive.

-- A transfer: its tx, movement, accounts and hold. The composite foreign keys of 0001 say part of
-- this too, but SQLite checks them only where a connection asks for it; triggers always hold.
CREATE TRIGGER transfer_checked BEFORE INSERT ON transfer
BEGIN
  SELECT CASE coalesce(
      (SELECT CASE
          WHEN x.deal_id <> NEW.deal_id THEN 1
          WHEN x.event_id <> NEW.event_id THEN 2
          WHEN x.settles IS NULL AND NEW.kind IN ('fee', 'release') THEN 3
          WHEN EXISTS (SELECT 1 FROM settlement AS s WHERE s.tx_id = x.tx_id) THEN 4
          ELSE 0
        END
        FROM ledger_tx AS x WHERE x.tx_id = NEW.tx_id), 1)
    WHEN 1 THEN RAISE (ABORT, 'settlement: transfer_tx')
    WHEN 2 THEN RAISE (ABORT, 'settlement: transfer_event_of_tx')
    WHEN 3 THEN RAISE (ABORT, 'settlement: transfer_outside_settlement')
    WHEN 4 THEN RAISE (ABORT, 'settlement: settlement_closed')
  END;
  SELECT RAISE (ABORT, 'settlement: transfer_movement')
  WHERE NOT EXISTS (SELECT 1 FROM movement_rule WHERE kind = NEW.kind
    AND debit_class = NEW.debit_class AND credit_class = NEW.credit_class);
  SELECT CASE coalesce(
      (SELECT CASE
          WHEN a.account_class <> NEW.debit_class THEN 1
          WHEN a.closed_at IS NOT NULL THEN 2
          WHEN a.deal_id <> NEW.deal_id THEN 3
          ELSE 0
        END
        FROM account AS a WHERE a.ref = NEW.debit_ref AND a.asset = NEW.asset), 1)
    WHEN 1 THEN RAISE (ABORT, 'settlement: transfer_debit_account')
    WHEN 2 THEN RAISE (ABORT, 'settlement: transfer_account_closed')
    WHEN 3 THEN RAISE (ABORT, 'settlement: transfer_account_of_other_deal')
  END;
  SELECT CASE coalesce(
      (SELECT CASE
          WHEN a.account_class <> NEW.credit_class THEN 1
          WHEN a.closed_at IS NOT NULL THEN 2
          WHEN a.deal_id <> NEW.deal_id THEN 3
          ELSE 0
        END
        FROM account AS a WHERE a.ref = NEW.credit_ref AND a.asset = NEW.asset), 1)
    WHEN 1 THEN RAISE (ABORT, 'settlement: transfer_credit_account')
    WHEN 2 THEN RAISE (ABORT, 'settlement: transfer_account_closed')
    WHEN 3 THEN RAISE (ABORT, 'settlement: transfer_account_of_other_deal')
  END;
  SELECT CASE coalesce(
      (SELECT CASE
          WHEN h.phase <> 'hold' THEN 1
          WHEN h.kind <> NEW.kind OR h.asset <> NEW.asset OR h.deal_id <> NEW.deal_id
            OR h.debit_ref <> NEW.debit_ref OR h.credit_ref <> NEW.credit_ref THEN 2
          WHEN NEW.amount_minor > h.amount_minor THEN 3
          WHEN NEW.phase <> 'post' AND NEW.amount_minor <> h.amount_minor THEN 3
          WHEN NEW.phase = 'post' AND NEW.booked_at > h.expires_at THEN 4
          WHEN NEW.phase = 'expire' AND (h.expires_at IS NULL OR NEW.booked_at < h.expires_at)
            THEN 5
          ELSE 0
        END
        FROM transfer AS h WHERE h.transfer_id = NEW.hold_id), 1)
    WHEN 1 THEN RAISE (ABORT, 'settlement: transfer_hold_missing')
    WHEN 2 THEN RAISE (ABORT, 'settlement: transfer_hold_differs')
    WHEN 3 THEN RAISE (ABORT, 'settlement: transfer_hold_exceeded')
    WHEN 4 THEN RAISE (ABORT, 'settlement: transfer_hold_expired')
    WHEN 5 THEN RAISE (ABORT, 'settlement: transfer_hold_not_expired')
  END
  WHERE NEW.hold_id IS NOT NULL;
END;

-- The four counters of guarded accounts. Accounts without a guard are never touched: one row that
-- every settlement changes would be as fast as the whole system ever gets. One trigger for all
-- phases, because one that has nothing to do costs too.
CREATE TRIGGER transfer_counted AFTER INSERT ON transfer
BEGIN
  UPDATE account SET
    debits_posted = debits_posted + iif(NEW.phase IN ('final', 'post'), NEW.amount_minor, 0),
    debits_held = debits_held + CASE NEW.phase
      WHEN 'final' THEN 0
      WHEN 'hold' THEN NEW.amount_minor
      ELSE -(SELECT amount_minor FROM transfer WHERE transfer_id = NEW.hold_id) END,
    version = version + 1
  WHERE ref = NEW.debit_ref AND asset = NEW.asset
    AND NEW.debit_class IN ('agent', 'mandate', 'escrow', 'dispute', 'receivable');
  UPDATE account SET
    credits_posted = credits_posted + iif(NEW.phase IN ('final', 'post'), NEW.amount_minor, 0),
    credits_held = credits_held + CASE NEW.phase
      WHEN 'final' THEN 0
      WHEN 'hold' THEN NEW.amount_minor
      ELSE -(SELECT amount_minor FROM transfer WHERE transfer_id = NEW.hold_id) END,
    version = version + 1
  WHERE ref = NEW.credit_ref AND asset = NEW.asset
    AND NEW.credit_class IN ('agent', 'mandate', 'escrow', 'dispute', 'receivable');
END;

-- A settlement is the sum of its tx's legs. Transfers and payees are written before it, and nothing
-- is added to either afterwards.
CREATE TRIGGER settlement_checked AFTER INSERT ON settlement
BEGIN
  SELECT RAISE (ABORT, 'settlement: settlement_of_its_tx')
  WHERE NOT EXISTS (SELECT 1 FROM ledger_tx WHERE tx_id = NEW.tx_id AND deal_id = NEW.deal_id
    AND settles = NEW.deal_id AND event_id = NEW.event_id);
  SELECT RAISE (ABORT, 'settlement: settlement_legs_differ')
  FROM (
    SELECT
      sum(iif(kind = 'fee' AND credit_class = 'fee_platform', amount_minor, 0)) AS platform,
      sum(iif(kind = 'fee' AND credit_class = 'fee_protocol', amount_minor, 0)) AS protocol,
      sum(iif(kind = 'release', amount_minor, 0)) AS net,
      sum(phase <> 'final' OR asset <> NEW.asset OR debit_ref <> 'escrow:' || NEW.deal_id
        OR kind NOT IN ('fee', 'release')) AS others,
      sum(kind = 'release') AS releases
    FROM transfer WHERE tx_id = NEW.tx_id) AS legs
  WHERE legs.platform IS NOT NEW.platform_fee_minor OR legs.protocol IS NOT NEW.protocol_fee_minor
    OR legs.net IS NOT NEW.net_minor OR legs.others <> 0
    OR legs.releases <> (SELECT count(*) FROM settlement_payee WHERE deal_id = NEW.deal_id);
  SELECT CASE
      WHEN NOT EXISTS (SELECT 1 FROM transfer AS t WHERE t.tx_id = NEW.tx_id AND t.kind = 'release'
        AND t.credit_ref = 'entity:' || p.agent_id AND t.amount_minor = p.net_minor)
        THEN RAISE (ABORT, 'settlement: settlement_payees_differ')
      WHEN NOT EXISTS (SELECT 1 FROM party AS q WHERE q.deal_id = p.deal_id
        AND q.agent_id = p.agent_id AND q.role IN ('seller', 'payee'))
        THEN RAISE (ABORT, 'settlement: settlement_payee_no_party')
    END
  FROM settlement_payee AS p WHERE p.deal_id = NEW.deal_id;
END;

CREATE TRIGGER settlement_payee_checked BEFORE INSERT ON settlement_payee
BEGIN
  SELECT RAISE (ABORT, 'settlement: settlement_closed')
  WHERE EXISTS (SELECT 1 FROM settlement WHERE deal_id = NEW.deal_id);
END;

-- The chain (spec 8.1): no gap, no wrong link. A fork is refused by the primary key.
CREATE TRIGGER event_chained BEFORE INSERT ON event
BEGIN
  SELECT CASE
    WHEN NEW.version = 0 THEN
      iif(NEW.prev_hash = '', 0, RAISE (ABORT, 'settlement: event_prev_hash'))
    ELSE CASE coalesce((SELECT hash = NEW.prev_hash FROM event
        WHERE deal_id = NEW.deal_id AND version = NEW.version - 1), -1)
      WHEN -1 THEN RAISE (ABORT, 'settlement: event_gap')
      WHEN 0 THEN RAISE (ABORT, 'settlement: event_prev_hash')
    END
  END;
END;

-- A deal's version and head are those of its newest event.
CREATE TRIGGER deal_made AFTER INSERT ON deal
BEGIN
  SELECT RAISE (ABORT, 'settlement: deal_head')
  WHERE NEW.head_hash IS NOT coalesce((SELECT hash FROM event
      WHERE deal_id = NEW.deal_id AND version = NEW.version - 1), iif(NEW.version = 0, '', NULL))
    OR EXISTS (SELECT 1 FROM event WHERE deal_id = NEW.deal_id AND version = NEW.version);
END;

CREATE TRIGGER deal_changed AFTER UPDATE ON deal
BEGIN
  SELECT RAISE (ABORT, 'settlement: deal_version_decreased') WHERE NEW.version < OLD.version;
  SELECT RAISE (ABORT, 'settlement: deal_head')
  WHERE NEW.head_hash IS NOT coalesce((SELECT hash FROM event
      WHERE deal_id = NEW.deal_id AND version = NEW.version - 1), iif(NEW.version = 0, '', NULL))
    OR EXISTS (SELECT 1 FROM event WHERE deal_id = NEW.deal_id AND version = NEW.version);
END;

-- Fences only grow; what a rail has finally said stays said.
CREATE TRIGGER effect_fenced BEFORE UPDATE ON effect WHEN NEW.fence < OLD.fence
BEGIN
  SELECT RAISE (ABORT, 'settlement: effect_fence_decreased');
END;

CREATE TRIGGER effect_settled BEFORE UPDATE ON effect
WHEN OLD.state IN ('confirmed', 'refused') AND NEW.state <> OLD.state
BEGIN
  SELECT RAISE (ABORT, 'settlement: effect_final');
END;

CREATE TRIGGER lease_fenced BEFORE UPDATE ON lease WHEN NEW.fence < OLD.fence
BEGIN
  SELECT RAISE (ABORT, 'settlement: lease_fence_decreased');
END;

CREATE TRIGGER job_fenced BEFORE UPDATE ON job WHEN NEW.lease_fence < OLD.lease_fence
BEGIN
  SELECT RAISE (ABORT, 'settlement: job_fence_decreased');
END;

-- History is added to, never changed.
CREATE TRIGGER transfer_no_update BEFORE UPDATE ON transfer
BEGIN
  SELECT RAISE (ABORT, 'settlement: transfer_append_only');
END;

CREATE TRIGGER transfer_no_delete BEFORE DELETE ON transfer
BEGIN
  SELECT RAISE (ABORT, 'settlement: transfer_append_only');
END;

CREATE TRIGGER event_no_update BEFORE UPDATE ON event
BEGIN
  SELECT RAISE (ABORT, 'settlement: event_append_only');
END;

CREATE TRIGGER event_no_delete BEFORE DELETE ON event
BEGIN
  SELECT RAISE (ABORT, 'settlement: event_append_only');
END;

CREATE TRIGGER ledger_tx_no_update BEFORE UPDATE ON ledger_tx
BEGIN
  SELECT RAISE (ABORT, 'settlement: ledger_tx_append_only');
END;

CREATE TRIGGER ledger_tx_no_delete BEFORE DELETE ON ledger_tx
BEGIN
  SELECT RAISE (ABORT, 'settlement: ledger_tx_append_only');
END;

CREATE TRIGGER log_entry_no_update BEFORE UPDATE ON log_entry
BEGIN
  SELECT RAISE (ABORT, 'settlement: log_entry_append_only');
END;

CREATE TRIGGER log_entry_no_delete BEFORE DELETE ON log_entry
BEGIN
  SELECT RAISE (ABORT, 'settlement: log_entry_append_only');
END;

CREATE TRIGGER log_node_no_update BEFORE UPDATE ON log_node
BEGIN
  SELECT RAISE (ABORT, 'settlement: log_node_append_only');
END;

CREATE TRIGGER log_node_no_delete BEFORE DELETE ON log_node
BEGIN
  SELECT RAISE (ABORT, 'settlement: log_node_append_only');
END;

CREATE TRIGGER tree_head_no_update BEFORE UPDATE ON tree_head
BEGIN
  SELECT RAISE (ABORT, 'settlement: tree_head_append_only');
END;

CREATE TRIGGER tree_head_no_delete BEFORE DELETE ON tree_head
BEGIN
  SELECT RAISE (ABORT, 'settlement: tree_head_append_only');
END;

CREATE TRIGGER receipt_no_update BEFORE UPDATE ON receipt
BEGIN
  SELECT RAISE (ABORT, 'settlement: receipt_append_only');
END;

CREATE TRIGGER receipt_no_delete BEFORE DELETE ON receipt
BEGIN
  SELECT RAISE (ABORT, 'settlement: receipt_append_only');
END;

CREATE TRIGGER settlement_no_update BEFORE UPDATE ON settlement
BEGIN
  SELECT RAISE (ABORT, 'settlement: settlement_append_only');
END;

CREATE TRIGGER settlement_no_delete BEFORE DELETE ON settlement
BEGIN
  SELECT RAISE (ABORT, 'settlement: settlement_append_only');
END;

CREATE TRIGGER settlement_payee_no_update BEFORE UPDATE ON settlement_payee
BEGIN
  SELECT RAISE (ABORT, 'settlement: settlement_payee_append_only');
END;

CREATE TRIGGER settlement_payee_no_delete BEFORE DELETE ON settlement_payee
BEGIN
  SELECT RAISE (ABORT, 'settlement: settlement_payee_append_only');
END;

CREATE TRIGGER volume_entry_no_update BEFORE UPDATE ON volume_entry
BEGIN
  SELECT RAISE (ABORT, 'settlement: volume_entry_append_only');
END;

CREATE TRIGGER volume_entry_no_delete BEFORE DELETE ON volume_entry
BEGIN
  SELECT RAISE (ABORT, 'settlement: volume_entry_append_only');
END;

CREATE TRIGGER movement_rule_no_update BEFORE UPDATE ON movement_rule
BEGIN
  SELECT RAISE (ABORT, 'settlement: movement_rule_append_only');
END;

CREATE TRIGGER movement_rule_no_delete BEFORE DELETE ON movement_rule
BEGIN
  SELECT RAISE (ABORT, 'settlement: movement_rule_append_only');
END;
