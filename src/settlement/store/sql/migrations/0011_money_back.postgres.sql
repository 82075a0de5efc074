-- Money that goes back (spec 4.8, 5.4): refunds and chargebacks, disputes and rulings, outcomes that
-- count against a seller; and the rules by which the database itself refuses to give too much back.

CREATE TABLE dispute (
  dispute_id text COLLATE "C" NOT NULL PRIMARY KEY,
  deal_id text COLLATE "C" NOT NULL UNIQUE REFERENCES deal (deal_id),
  claimant_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  respondent_id text COLLATE "C",
  reason_hash text COLLATE "C",
  status text COLLATE "C" NOT NULL CONSTRAINT dispute_status CHECK (status IN ('opened', 'resolved')),
  deal_state text COLLATE "C" NOT NULL
    CONSTRAINT dispute_deal_state CHECK (deal_state IN ('go_approved', 'settled')),
  asset text COLLATE "C" NOT NULL REFERENCES asset (asset),
  amount_minor bigint NOT NULL CONSTRAINT dispute_amount_minor CHECK (amount_minor >= 0),
  parts text COLLATE "C" NOT NULL,
  seller_ppm bigint CONSTRAINT dispute_seller_ppm CHECK (seller_ppm BETWEEN 0 AND 1000000),
  ruling_hash text COLLATE "C",
  opened_at text COLLATE "C" NOT NULL,
  resolved_at text COLLATE "C",
  CONSTRAINT dispute_ruled CHECK ((status = 'resolved') = (seller_ppm IS NOT NULL)),
  CONSTRAINT dispute_resolved_at CHECK ((status = 'resolved') = (resolved_at IS NOT NULL))
);

-- `parts` says who bears it, `holds` which holds wait for the rail. A payment is the transfer of its
-- PAYMENT_AUTHORIZED, so that event names it.
CREATE TABLE refund (
  refund_id text COLLATE "C" NOT NULL PRIMARY KEY,
  deal_id text COLLATE "C" NOT NULL REFERENCES deal (deal_id),
  kind text COLLATE "C" NOT NULL CONSTRAINT refund_kind CHECK (kind IN ('refund', 'chargeback')),
  payment_event_id text COLLATE "C" NOT NULL REFERENCES event (event_id),
  source text COLLATE "C" NOT NULL
    CONSTRAINT refund_source CHECK (source IN ('charge', 'balance', 'mandate')),
  rail text COLLATE "C",
  payment_ref text COLLATE "C",
  asset text COLLATE "C" NOT NULL REFERENCES asset (asset),
  amount_minor bigint NOT NULL CONSTRAINT refund_amount_minor CHECK (amount_minor > 0),
  parts text COLLATE "C" NOT NULL,
  holds text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL
    CONSTRAINT refund_state CHECK (state IN ('planned', 'unknown', 'confirmed', 'refused')),
  effect_id text COLLATE "C",
  dispute_id text COLLATE "C" REFERENCES dispute (dispute_id),
  requested_by text COLLATE "C" NOT NULL,
  reason_hash text COLLATE "C",
  rail_ref text COLLATE "C",
  refusal text COLLATE "C",
  created_at text COLLATE "C" NOT NULL,
  updated_at text COLLATE "C" NOT NULL,
  CONSTRAINT refund_rail CHECK ((source = 'charge') = (rail IS NOT NULL)),
  CONSTRAINT refund_open CHECK (state IN ('confirmed', 'refused') OR effect_id IS NOT NULL),
  CONSTRAINT refund_resolved CHECK (state IN ('planned', 'unknown') OR holds = '[]')
);
CREATE INDEX refund_by_deal ON refund (deal_id);

CREATE TABLE bad_outcome (
  deal_id text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES deal (deal_id),
  agent_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  asset text COLLATE "C" NOT NULL,
  outcome text COLLATE "C" NOT NULL
    CONSTRAINT bad_outcome_outcome CHECK (outcome IN ('refunded', 'dispute_lost')),
  at text COLLATE "C" NOT NULL
);
CREATE INDEX bad_outcome_by_agent ON bad_outcome (agent_id, asset, at);

-- Settlements are counted as all entries less these.
CREATE INDEX volume_entry_taken ON volume_entry (agent_id, asset) WHERE delta_minor < 0;

-- As in 0002, but a ruling on a settled deal gives back what it took from its payees.
CREATE OR REPLACE FUNCTION transfer_added() RETURNS trigger LANGUAGE plpgsql AS $$
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
        WHEN x.settles IS NULL AND t.kind IN ('fee', 'release')
          AND NOT (t.kind = 'release'
            AND (SELECT s.deal_id FROM settlement AS s WHERE s.deal_id = x.deal_id) IS NOT NULL
            AND (SELECT e.event_type FROM event AS e WHERE e.event_id = x.event_id)
              = 'DISPUTE_RESOLVED')
          THEN 'transfer_outside_settlement'
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

-- Money goes back to whoever gave it, and never more than that. What an open hold keeps counts. By
-- row, so that the rows of one statement count for each other; nothing else pays for the look.
CREATE FUNCTION transfer_back() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  given bigint;
  back bigint;
BEGIN
  SELECT
    coalesce(sum(CASE WHEN t.kind IN ('charge', 'escrow_fund') AND t.phase = 'final'
      AND t.debit_ref = NEW.credit_ref THEN t.amount_minor ELSE 0 END), 0)::bigint,
    coalesce(sum(CASE WHEN t.kind IN ('refund', 'chargeback') AND t.credit_ref = NEW.credit_ref
      AND (t.phase IN ('final', 'post') OR (t.phase = 'hold'
        AND (SELECT r.transfer_id FROM transfer AS r WHERE r.hold_id = t.transfer_id) IS NULL))
      THEN t.amount_minor ELSE 0 END), 0)::bigint
  INTO given, back
  FROM transfer AS t WHERE t.deal_id = NEW.deal_id AND t.asset = NEW.asset;
  IF given = 0 THEN
    PERFORM settlement_refuse('transfer_refund_to_funder');
  END IF;
  IF back + NEW.amount_minor > given THEN
    PERFORM settlement_refuse('transfer_over_refund');
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER transfer_back BEFORE INSERT ON transfer FOR EACH ROW
WHEN (NEW.kind IN ('refund', 'chargeback') AND NEW.phase IN ('final', 'hold'))
EXECUTE FUNCTION transfer_back();

-- A settled deal is not funded again from an account of ours.
CREATE FUNCTION transfer_funds_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT s.deal_id FROM settlement AS s WHERE s.deal_id = NEW.deal_id) IS NOT NULL THEN
    PERFORM settlement_refuse('transfer_after_settlement');
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER transfer_funds_settled BEFORE INSERT ON transfer FOR EACH ROW
WHEN (NEW.kind = 'escrow_fund') EXECUTE FUNCTION transfer_funds_settled();

CREATE FUNCTION refund_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.amount_minor
    + coalesce((SELECT sum(r.amount_minor) FROM refund AS r WHERE r.deal_id = NEW.deal_id
        AND r.payment_event_id = NEW.payment_event_id AND r.state <> 'refused'), 0)
    > coalesce((SELECT sum(t.amount_minor) FROM transfer AS t WHERE t.deal_id = NEW.deal_id
        AND t.event_id = NEW.payment_event_id AND t.kind IN ('charge', 'escrow_fund')), 0)
  THEN
    PERFORM settlement_refuse('refund_exceeds_payment');
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER refund_made BEFORE INSERT ON refund FOR EACH ROW EXECUTE FUNCTION refund_made();

CREATE TRIGGER refund_settled BEFORE UPDATE ON refund FOR EACH ROW
WHEN (OLD.state IN ('confirmed', 'refused') OR NEW.amount_minor <> OLD.amount_minor
  OR NEW.payment_event_id <> OLD.payment_event_id OR NEW.deal_id <> OLD.deal_id)
EXECUTE FUNCTION settlement_refuse_row('refund_final');

CREATE TRIGGER refund_append_only BEFORE DELETE OR TRUNCATE ON refund
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('refund_append_only');

CREATE TRIGGER dispute_settled BEFORE UPDATE ON dispute FOR EACH ROW
WHEN (OLD.status = 'resolved' OR NEW.amount_minor <> OLD.amount_minor
  OR NEW.deal_id <> OLD.deal_id)
EXECUTE FUNCTION settlement_refuse_row('dispute_final');

CREATE TRIGGER dispute_append_only BEFORE DELETE OR TRUNCATE ON dispute
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('dispute_append_only');
