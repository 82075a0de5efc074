-- Money that goes back (spec 4.8, 5.4): refunds and chargebacks, disputes and rulings, outcomes that
-- count against a seller; and the rules by which the database itself refuses to give too much back.

CREATE TABLE dispute (
  dispute_id TEXT NOT NULL PRIMARY KEY,
  deal_id TEXT NOT NULL UNIQUE REFERENCES deal (deal_id),
  claimant_id TEXT NOT NULL REFERENCES agent (agent_id),
  respondent_id TEXT,
  reason_hash TEXT,
  status TEXT NOT NULL CONSTRAINT dispute_status CHECK (status IN ('opened', 'resolved')),
  deal_state TEXT NOT NULL
    CONSTRAINT dispute_deal_state CHECK (deal_state IN ('go_approved', 'settled')),
  asset TEXT NOT NULL REFERENCES asset (asset),
  amount_minor INTEGER NOT NULL CONSTRAINT dispute_amount_minor CHECK (amount_minor >= 0),
  parts TEXT NOT NULL,
  seller_ppm INTEGER CONSTRAINT dispute_seller_ppm CHECK (seller_ppm BETWEEN 0 AND 1000000),
  ruling_hash TEXT,
  opened_at TEXT NOT NULL,
  resolved_at TEXT,
  CONSTRAINT dispute_ruled CHECK ((status = 'resolved') = (seller_ppm IS NOT NULL)),
  CONSTRAINT dispute_resolved_at CHECK ((status = 'resolved') = (resolved_at IS NOT NULL))
) STRICT;

-- `parts` says who bears it, `holds` which holds wait for the rail. A payment is the transfer of its
-- PAYMENT_AUTHORIZED, so that event names it.
CREATE TABLE refund (
  refund_id TEXT NOT NULL PRIMARY KEY,
  deal_id TEXT NOT NULL REFERENCES deal (deal_id),
  kind TEXT NOT NULL CONSTRAINT refund_kind CHECK (kind IN ('refund', 'chargeback')),
  payment_event_id TEXT NOT NULL REFERENCES event (event_id),
  source TEXT NOT NULL
    CONSTRAINT refund_source CHECK (source IN ('charge', 'balance', 'mandate')),
  rail TEXT,
  payment_ref TEXT,
  asset TEXT NOT NULL REFERENCES asset (asset),
  amount_minor INTEGER NOT NULL CONSTRAINT refund_amount_minor CHECK (amount_minor > 0),
  parts TEXT NOT NULL,
  holds TEXT NOT NULL,
  state TEXT NOT NULL
    CONSTRAINT refund_state CHECK (state IN ('planned', 'unknown', 'confirmed', 'refused')),
  effect_id TEXT,
  dispute_id TEXT REFERENCES dispute (dispute_id),
  requested_by TEXT NOT NULL,
  reason_hash TEXT,
  rail_ref TEXT,
  refusal TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  CONSTRAINT refund_rail CHECK ((source = 'charge') = (rail IS NOT NULL)),
  CONSTRAINT refund_open CHECK (state IN ('confirmed', 'refused') OR effect_id IS NOT NULL),
  CONSTRAINT refund_resolved CHECK (state IN ('planned', 'unknown') OR holds = '[]')
) STRICT;
CREATE INDEX refund_by_deal ON refund (deal_id);

CREATE TABLE bad_outcome (
  deal_id TEXT NOT NULL PRIMARY KEY REFERENCES deal (deal_id),
  agent_id TEXT NOT NULL REFERENCES agent (agent_id),
  asset TEXT NOT NULL,
  outcome TEXT NOT NULL
    CONSTRAINT bad_outcome_outcome CHECK (outcome IN ('refunded', 'dispute_lost')),
  at TEXT NOT NULL
) STRICT;
CREATE INDEX bad_outcome_by_agent ON bad_outcome (agent_id, asset, at);

-- Settlements are counted as all entries less these.
CREATE INDEX volume_entry_taken ON volume_entry (agent_id, asset) WHERE delta_minor < 0;

-- As in 0002, but a ruling on a settled deal gives back what it took from its payees.
DROP TRIGGER transfer_checked;
CREATE TRIGGER transfer_checked BEFORE INSERT ON transfer
BEGIN
  SELECT CASE coalesce(
      (SELECT CASE
          WHEN x.deal_id <> NEW.deal_id THEN 1
          WHEN x.event_id <> NEW.event_id THEN 2
          WHEN x.settles IS NULL AND NEW.kind IN ('fee', 'release')
            AND NOT (NEW.kind = 'release'
              AND EXISTS (SELECT 1 FROM settlement AS s WHERE s.deal_id = x.deal_id)
              AND EXISTS (SELECT 1 FROM event AS e
                WHERE e.event_id = x.event_id AND e.event_type = 'DISPUTE_RESOLVED')) THEN 3
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

-- Money goes back to whoever gave it, and never more than that. What an open hold keeps counts.
CREATE TRIGGER transfer_back BEFORE INSERT ON transfer
WHEN NEW.kind IN ('refund', 'chargeback') AND NEW.phase IN ('final', 'hold')
BEGIN
  SELECT CASE
      WHEN flow.given = 0 THEN RAISE (ABORT, 'settlement: transfer_refund_to_funder')
      WHEN flow.back + NEW.amount_minor > flow.given
        THEN RAISE (ABORT, 'settlement: transfer_over_refund')
    END
  FROM (
    SELECT
      coalesce(sum(iif(t.kind IN ('charge', 'escrow_fund') AND t.phase = 'final'
        AND t.debit_ref = NEW.credit_ref, t.amount_minor, 0)), 0) AS given,
      coalesce(sum(iif(t.kind IN ('refund', 'chargeback') AND t.credit_ref = NEW.credit_ref
        AND (t.phase IN ('final', 'post') OR (t.phase = 'hold'
          AND NOT EXISTS (SELECT 1 FROM transfer AS r WHERE r.hold_id = t.transfer_id))),
        t.amount_minor, 0)), 0) AS back
    FROM transfer AS t WHERE t.deal_id = NEW.deal_id AND t.asset = NEW.asset) AS flow;
END;

-- A settled deal is not funded again from an account of ours.
CREATE TRIGGER transfer_funds_settled BEFORE INSERT ON transfer WHEN NEW.kind = 'escrow_fund'
BEGIN
  SELECT RAISE (ABORT, 'settlement: transfer_after_settlement')
  WHERE EXISTS (SELECT 1 FROM settlement WHERE deal_id = NEW.deal_id);
END;

CREATE TRIGGER refund_made BEFORE INSERT ON refund
BEGIN
  SELECT RAISE (ABORT, 'settlement: refund_exceeds_payment')
  WHERE NEW.amount_minor
    + coalesce((SELECT sum(r.amount_minor) FROM refund AS r WHERE r.deal_id = NEW.deal_id
        AND r.payment_event_id = NEW.payment_event_id AND r.state <> 'refused'), 0)
    > coalesce((SELECT sum(t.amount_minor) FROM transfer AS t WHERE t.deal_id = NEW.deal_id
        AND t.event_id = NEW.payment_event_id AND t.kind IN ('charge', 'escrow_fund')), 0);
END;

CREATE TRIGGER refund_settled BEFORE UPDATE ON refund
WHEN OLD.state IN ('confirmed', 'refused') OR NEW.amount_minor <> OLD.amount_minor
  OR NEW.payment_event_id <> OLD.payment_event_id OR NEW.deal_id <> OLD.deal_id
BEGIN
  SELECT RAISE (ABORT, 'settlement: refund_final');
END;

CREATE TRIGGER refund_no_delete BEFORE DELETE ON refund
BEGIN
  SELECT RAISE (ABORT, 'settlement: refund_append_only');
END;

CREATE TRIGGER dispute_settled BEFORE UPDATE ON dispute
WHEN OLD.status = 'resolved' OR NEW.amount_minor <> OLD.amount_minor OR NEW.deal_id <> OLD.deal_id
BEGIN
  SELECT RAISE (ABORT, 'settlement: dispute_final');
END;

CREATE TRIGGER dispute_no_delete BEFORE DELETE ON dispute
BEGIN
  SELECT RAISE (ABORT, 'settlement: dispute_append_only');
END;
