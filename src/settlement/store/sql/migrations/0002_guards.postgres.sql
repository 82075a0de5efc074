-- Rules that the database keeps by itself, PostgreSQL. Every refusal has a stable name, the same as
-- in the SQLite file, carried as the error's constraint name. Checks are made once per statement,
-- over the rows it added: a batch of settlements costs one look at each rule.

CREATE FUNCTION settlement_refuse(rule text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = rule,
    MESSAGE = 'settlement: ' || rule;
END $$;

CREATE FUNCTION settlement_refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM settlement_refuse(TG_ARGV[0]);
  RETURN NULL;
END $$;

-- A transfer: its tx (the foreign keys look after movement and accounts), and the four counters of
-- guarded accounts: ONE update per account and statement. Accounts without a guard are never
-- touched: one row that every settlement changes would be as fast as the whole system ever gets.
CREATE FUNCTION transfer_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  rule text;
  resolves boolean;
  closed bigint;
BEGIN
  -- Here and below scalar subqueries, not joins and not EXISTS: those may be planned as a hash of
  -- the whole table while it is small, and the plan is kept for the session while the table grows.
  SELECT max(coalesce((SELECT CASE
        WHEN x.deal_id <> t.deal_id THEN 'transfer_tx'
        WHEN x.event_id <> t.event_id THEN 'transfer_event_of_tx'
        WHEN x.settles IS NULL AND t.kind IN ('fee', 'release') THEN 'transfer_outside_settlement'
        WHEN (SELECT s.deal_id FROM settlement AS s WHERE s.tx_id = x.tx_id) IS NOT NULL
          THEN 'settlement_closed'
        ELSE ''
      END FROM ledger_tx AS x WHERE x.tx_id = t.tx_id), 'transfer_tx')),
    bool_or(t.hold_id IS NOT NULL)
  INTO rule, resolves FROM added AS t;
  IF rule <> '' THEN
    PERFORM settlement_refuse(rule);
  END IF;

  -- The names of these accounts hold their deal (account_ref_of_class), so none need be read.
  IF EXISTS (SELECT 1 FROM added
      WHERE (debit_class IN ('escrow', 'dispute') AND debit_ref <> debit_class || ':' || deal_id)
        OR (credit_class IN ('escrow', 'dispute') AND credit_ref <> credit_class || ':' || deal_id))
  THEN
    PERFORM settlement_refuse('transfer_account_of_other_deal');
  END IF;

  IF resolves THEN
    SELECT max(coalesce((SELECT CASE
        WHEN h.phase <> 'hold' THEN 'transfer_hold_missing'
        WHEN h.kind <> t.kind OR h.asset <> t.asset OR h.deal_id <> t.deal_id
          OR h.debit_ref <> t.debit_ref OR h.credit_ref <> t.credit_ref
          THEN 'transfer_hold_differs'
        WHEN t.amount_minor > h.amount_minor
          OR (t.phase <> 'post' AND t.amount_minor <> h.amount_minor)
          THEN 'transfer_hold_exceeded'
        WHEN t.phase = 'post' AND t.booked_at > h.expires_at THEN 'transfer_hold_expired'
        WHEN t.phase = 'expire' AND (h.expires_at IS NULL OR t.booked_at < h.expires_at)
          THEN 'transfer_hold_not_expired'
        ELSE ''
      END FROM transfer AS h WHERE h.transfer_id = t.hold_id), 'transfer_hold_missing'))
    INTO rule FROM added AS t WHERE t.hold_id IS NOT NULL;
    IF rule <> '' THEN
      PERFORM settlement_refuse(rule);
    END IF;
  END IF;

  WITH side AS (
    SELECT debit_ref AS ref, asset,
      CASE WHEN phase IN ('final', 'post') THEN amount_minor ELSE 0 END AS debit_posted,
      0::bigint AS credit_posted,
      CASE WHEN phase = 'hold' THEN amount_minor
        WHEN hold_id IS NULL THEN 0
        ELSE -(SELECT h.amount_minor FROM transfer AS h WHERE h.transfer_id = added.hold_id)
      END AS debit_held,
      0::bigint AS credit_held
    FROM added WHERE debit_class IN ('agent', 'mandate', 'escrow', 'dispute', 'receivable')
    UNION ALL
    SELECT credit_ref, asset, 0,
      CASE WHEN phase IN ('final', 'post') THEN amount_minor ELSE 0 END, 0,
      CASE WHEN phase = 'hold' THEN amount_minor
        WHEN hold_id IS NULL THEN 0
        ELSE -(SELECT h.amount_minor FROM transfer AS h WHERE h.transfer_id = added.hold_id)
      END
    FROM added WHERE credit_class IN ('agent', 'mandate', 'escrow', 'dispute', 'receivable')
  ), move AS (
    SELECT ref, asset, sum(debit_posted)::bigint AS debit_posted,
      sum(credit_posted)::bigint AS credit_posted, sum(debit_held)::bigint AS debit_held,
      sum(credit_held)::bigint AS credit_held, count(*) AS n
    FROM side GROUP BY ref, asset
  ), moved AS (
    UPDATE account AS a SET
      debits_posted = a.debits_posted + m.debit_posted,
      credits_posted = a.credits_posted + m.credit_posted,
      debits_held = a.debits_held + m.debit_held,
      credits_held = a.credits_held + m.credit_held,
      version = a.version + m.n
    FROM move AS m WHERE a.ref = ANY(ARRAY(SELECT ref FROM move))
      AND a.ref = m.ref AND a.asset = m.asset
    RETURNING a.closed_at
  )
  SELECT count(closed_at) INTO closed FROM moved;
  IF closed > 0 OR EXISTS (
      SELECT 1 FROM (
        SELECT debit_ref AS ref, asset FROM added
        WHERE debit_class NOT IN ('agent', 'mandate', 'escrow', 'dispute', 'receivable')
        UNION
        SELECT credit_ref, asset FROM added
        WHERE credit_class NOT IN ('agent', 'mandate', 'escrow', 'dispute', 'receivable')) AS k
      WHERE (SELECT a.closed_at FROM account AS a WHERE a.ref = k.ref AND a.asset = k.asset)
        IS NOT NULL)
  THEN
    PERFORM settlement_refuse('transfer_account_closed');
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER transfer_added AFTER INSERT ON transfer
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION transfer_added();

-- A settlement is the sum of its tx's legs. Transfers and payees are written before it, and nothing
-- is added to either afterwards.
CREATE FUNCTION settlement_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  rule text;
BEGIN
  SELECT CASE
      WHEN (SELECT x.settles = s.deal_id AND x.event_id = s.event_id
          FROM ledger_tx AS x WHERE x.tx_id = s.tx_id) IS NOT TRUE THEN 'settlement_of_its_tx'
      WHEN (legs.platform, legs.protocol, legs.net)
          IS DISTINCT FROM (s.platform_fee_minor, s.protocol_fee_minor, s.net_minor)
        OR legs.others OR legs.releases <> paid.payees THEN 'settlement_legs_differ'
      WHEN paid.unpaid > 0 THEN 'settlement_payees_differ'
      WHEN paid.strangers > 0 THEN 'settlement_payee_no_party'
    END AS broken
  INTO rule
  FROM added AS s
  CROSS JOIN LATERAL (
    SELECT
      sum(CASE WHEN t.kind = 'fee' AND t.credit_class = 'fee_platform'
        THEN t.amount_minor ELSE 0 END)::bigint AS platform,
      sum(CASE WHEN t.kind = 'fee' AND t.credit_class = 'fee_protocol'
        THEN t.amount_minor ELSE 0 END)::bigint AS protocol,
      sum(CASE WHEN t.kind = 'release' THEN t.amount_minor ELSE 0 END)::bigint AS net,
      bool_or(t.phase <> 'final' OR t.asset <> s.asset OR t.debit_ref <> 'escrow:' || s.deal_id
        OR t.kind NOT IN ('fee', 'release')) AS others,
      count(*) FILTER (WHERE t.kind = 'release') AS releases
    FROM transfer AS t WHERE t.tx_id = s.tx_id) AS legs
  CROSS JOIN LATERAL (
    SELECT count(*) AS payees,
      count(*) FILTER (WHERE (SELECT count(*) FROM transfer AS t
        WHERE t.tx_id = s.tx_id AND t.kind = 'release' AND t.amount_minor = p.net_minor
          AND t.credit_ref = 'entity:' || p.agent_id) = 0) AS unpaid,
      count(*) FILTER (WHERE (SELECT count(*) FROM party AS q WHERE q.deal_id = p.deal_id
        AND q.agent_id = p.agent_id AND q.role IN ('seller', 'payee')) = 0) AS strangers
    FROM settlement_payee AS p WHERE p.deal_id = s.deal_id) AS paid
  ORDER BY 1 NULLS LAST LIMIT 1;
  IF rule IS NOT NULL THEN
    PERFORM settlement_refuse(rule);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER settlement_added AFTER INSERT ON settlement
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION settlement_added();

CREATE FUNCTION settlement_payee_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM added AS p WHERE (SELECT s.deal_id FROM settlement AS s
      WHERE s.deal_id = p.deal_id) IS NOT NULL) THEN
    PERFORM settlement_refuse('settlement_closed');
  END IF;
  IF EXISTS (SELECT 1 FROM added AS p WHERE (SELECT d.deal_id FROM deal AS d
      WHERE d.deal_id = p.deal_id) IS NULL) THEN
    PERFORM settlement_refuse('foreign_key');
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER settlement_payee_added AFTER INSERT ON settlement_payee
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION settlement_payee_added();

-- The chain (spec 8.1): no gap, no wrong link, also between the events of one statement. A fork is
-- refused by the primary key.
CREATE FUNCTION event_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  rule text;
BEGIN
  SELECT max(CASE
      WHEN e.version = 0 THEN CASE WHEN e.prev_hash <> '' THEN 'event_prev_hash' END
      ELSE coalesce((SELECT CASE WHEN p.hash <> e.prev_hash THEN 'event_prev_hash' ELSE '' END
        FROM event AS p WHERE p.deal_id = e.deal_id AND p.version = e.version - 1), 'event_gap')
    END)
  INTO rule FROM added AS e;
  IF rule <> '' THEN
    PERFORM settlement_refuse(rule);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER event_added AFTER INSERT ON event
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION event_added();

-- A deal's version and head are those of its newest event.
CREATE FUNCTION deal_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
      SELECT 1 FROM written AS d
      WHERE d.head_hash IS DISTINCT FROM CASE WHEN d.version = 0 THEN '' ELSE (SELECT e.hash
          FROM event AS e WHERE e.deal_id = d.deal_id AND e.version = d.version - 1) END
        OR (SELECT e.hash FROM event AS e
          WHERE e.deal_id = d.deal_id AND e.version = d.version) IS NOT NULL)
  THEN
    PERFORM settlement_refuse('deal_head');
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER deal_made AFTER INSERT ON deal
REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION deal_written();
CREATE TRIGGER deal_changed AFTER UPDATE ON deal
REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION deal_written();

CREATE TRIGGER deal_version BEFORE UPDATE ON deal FOR EACH ROW
WHEN (NEW.version < OLD.version) EXECUTE FUNCTION settlement_refuse_row('deal_version_decreased');

-- Fences only grow; what a rail has finally said stays said.
CREATE TRIGGER effect_fenced BEFORE UPDATE ON effect FOR EACH ROW
WHEN (NEW.fence < OLD.fence) EXECUTE FUNCTION settlement_refuse_row('effect_fence_decreased');

CREATE TRIGGER effect_settled BEFORE UPDATE ON effect FOR EACH ROW
WHEN (OLD.state IN ('confirmed', 'refused') AND NEW.state <> OLD.state)
EXECUTE FUNCTION settlement_refuse_row('effect_final');

CREATE TRIGGER lease_fenced BEFORE UPDATE ON lease FOR EACH ROW
WHEN (NEW.fence < OLD.fence) EXECUTE FUNCTION settlement_refuse_row('lease_fence_decreased');

CREATE TRIGGER job_fenced BEFORE UPDATE ON job FOR EACH ROW
WHEN (NEW.lease_fence < OLD.lease_fence)
EXECUTE FUNCTION settlement_refuse_row('job_fence_decreased');

-- History is added to, never changed.
CREATE TRIGGER transfer_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfer
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('transfer_append_only');

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('event_append_only');

CREATE TRIGGER ledger_tx_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_tx
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('ledger_tx_append_only');

CREATE TRIGGER log_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_entry
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('log_entry_append_only');

CREATE TRIGGER log_node_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_node
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('log_node_append_only');

CREATE TRIGGER tree_head_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tree_head
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('tree_head_append_only');

CREATE TRIGGER receipt_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON receipt
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('receipt_append_only');

CREATE TRIGGER settlement_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON settlement
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('settlement_append_only');

CREATE TRIGGER settlement_payee_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON settlement_payee
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('settlement_payee_append_only');

CREATE TRIGGER volume_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON volume_entry
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('volume_entry_append_only');

CREATE TRIGGER movement_rule_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movement_rule
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('movement_rule_append_only');
