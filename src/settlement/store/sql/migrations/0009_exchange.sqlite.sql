-- The exchange (spec 13): intents, their sealed bids, and what the close reveals. Until then a price
-- stands in `bid.ciphertext` only. An intent and its deal share the body of their ids.

CREATE TABLE intent (
  intent_id TEXT NOT NULL PRIMARY KEY,
  deal_id TEXT NOT NULL UNIQUE REFERENCES deal (deal_id),
  state TEXT NOT NULL
    CONSTRAINT intent_state CHECK (state IN ('open', 'awarded', 'no_award', 'cancelled')),
  open INTEGER NOT NULL CONSTRAINT intent_open CHECK (open IN (0, 1)),
  client_id TEXT REFERENCES agent (agent_id),
  client_label TEXT NOT NULL,
  capability TEXT NOT NULL,
  requirements TEXT NOT NULL,
  asset TEXT NOT NULL REFERENCES asset (asset),
  budget_minor INTEGER NOT NULL CONSTRAINT intent_budget CHECK (budget_minor > 0),
  budget_nonce TEXT NOT NULL CONSTRAINT intent_budget_nonce CHECK (length(budget_nonce) = 64),
  deadline_hours INTEGER NOT NULL CONSTRAINT intent_deadline CHECK (deadline_hours > 0),
  public_key TEXT NOT NULL,
  sealed_key TEXT NOT NULL,
  seal_key_id TEXT NOT NULL,
  created_at TEXT NOT NULL,
  closes_at TEXT NOT NULL,
  closed_at TEXT,
  winner_bid_id TEXT,
  winner_agent_id TEXT,
  winning_minor INTEGER,
  due_at TEXT,
  CONSTRAINT intent_shares_its_deals_id CHECK (substr(deal_id, 6) = substr(intent_id, 8)),
  CONSTRAINT intent_closed_at CHECK ((state = 'open') = (closed_at IS NULL)),
  CONSTRAINT intent_award CHECK ((state = 'awarded') = (winner_bid_id IS NOT NULL)
    AND (winner_bid_id IS NULL) = (winner_agent_id IS NULL)
    AND (winner_bid_id IS NULL) = (winning_minor IS NULL)
    AND (winner_bid_id IS NULL) = (due_at IS NULL)),
  CONSTRAINT intent_within_budget CHECK (winning_minor BETWEEN 1 AND budget_minor)
) STRICT;
CREATE INDEX intent_due ON intent (closes_at, intent_id) WHERE state = 'open';
CREATE INDEX intent_by_winner ON intent (winner_agent_id, closed_at) WHERE open = 0;

CREATE TABLE bid (
  bid_id TEXT NOT NULL PRIMARY KEY,
  intent_id TEXT NOT NULL REFERENCES intent (intent_id),
  n INTEGER NOT NULL CONSTRAINT bid_n CHECK (n >= 0),
  agent_id TEXT NOT NULL,
  bidder_id TEXT REFERENCES agent (agent_id),
  commitment TEXT NOT NULL CONSTRAINT bid_commitment CHECK (length(commitment) = 64),
  ciphertext TEXT NOT NULL,
  ocs_hundredths INTEGER NOT NULL CONSTRAINT bid_ocs CHECK (ocs_hundredths BETWEEN 0 AND 10000),
  sla_ppm INTEGER NOT NULL CONSTRAINT bid_sla CHECK (sla_ppm BETWEEN 0 AND 1000000),
  created_at TEXT NOT NULL,
  UNIQUE (intent_id, n),
  UNIQUE (intent_id, bid_id),
  CONSTRAINT bid_of_its_bidder CHECK (bidder_id = agent_id)
) STRICT;

CREATE TABLE bid_reveal (
  bid_id TEXT NOT NULL PRIMARY KEY,
  intent_id TEXT NOT NULL,
  price_minor INTEGER NOT NULL CONSTRAINT bid_reveal_price CHECK (price_minor > 0),
  delivery_hours INTEGER NOT NULL CONSTRAINT bid_reveal_hours CHECK (delivery_hours > 0),
  message TEXT NOT NULL,
  nonce TEXT NOT NULL CONSTRAINT bid_reveal_nonce CHECK (length(nonce) = 64),
  CONSTRAINT bid_reveal_of_bid FOREIGN KEY (intent_id, bid_id)
    REFERENCES bid (intent_id, bid_id)
) STRICT;
CREATE INDEX bid_reveal_by_intent ON bid_reveal (intent_id);

-- A bid comes in while its intent is open, next in line.
CREATE TRIGGER bid_taken BEFORE INSERT ON bid
BEGIN
  SELECT RAISE (ABORT, 'settlement: bid_after_close')
  WHERE NOT EXISTS (SELECT 1 FROM intent WHERE intent_id = NEW.intent_id AND state = 'open'
    AND NEW.created_at < closes_at);
  SELECT RAISE (ABORT, 'settlement: bid_gap')
  WHERE NEW.n <> coalesce((SELECT max(n) + 1 FROM bid WHERE intent_id = NEW.intent_id), 0);
END;

-- Nothing is revealed before the close, and the winner's price is the one of the award.
CREATE TRIGGER bid_revealed BEFORE INSERT ON bid_reveal
BEGIN
  SELECT RAISE (ABORT, 'settlement: reveal_before_close')
  WHERE NOT EXISTS (SELECT 1 FROM intent
    WHERE intent_id = NEW.intent_id AND state IN ('awarded', 'no_award'));
  SELECT RAISE (ABORT, 'settlement: reveal_of_winner')
  FROM intent WHERE intent_id = NEW.intent_id
    AND winner_bid_id = NEW.bid_id AND winning_minor <> NEW.price_minor;
END;

-- An intent ends once; what was asked for stays what was asked for.
CREATE TRIGGER intent_ends_once BEFORE UPDATE ON intent WHEN OLD.state <> 'open'
BEGIN
  SELECT RAISE (ABORT, 'settlement: intent_ends_once');
END;

CREATE TRIGGER intent_fixed BEFORE UPDATE ON intent
WHEN (NEW.intent_id, NEW.deal_id, NEW.open, NEW.client_label, NEW.capability, NEW.requirements,
    NEW.asset, NEW.budget_minor, NEW.budget_nonce, NEW.deadline_hours, NEW.public_key,
    NEW.sealed_key, NEW.seal_key_id, NEW.created_at, NEW.closes_at)
  IS NOT (OLD.intent_id, OLD.deal_id, OLD.open, OLD.client_label, OLD.capability, OLD.requirements,
    OLD.asset, OLD.budget_minor, OLD.budget_nonce, OLD.deadline_hours, OLD.public_key,
    OLD.sealed_key, OLD.seal_key_id, OLD.created_at, OLD.closes_at)
  OR NEW.client_id IS NOT OLD.client_id
BEGIN
  SELECT RAISE (ABORT, 'settlement: intent_fixed');
END;

-- The winner is one of its bids. Not a foreign key: the tables would need each other, and could not be
-- loaded one after the other.
CREATE TRIGGER intent_awarded BEFORE UPDATE ON intent WHEN NEW.winner_bid_id IS NOT NULL
BEGIN
  SELECT RAISE (ABORT, 'settlement: intent_winner')
  WHERE NOT EXISTS (SELECT 1 FROM bid WHERE bid_id = NEW.winner_bid_id
    AND intent_id = NEW.intent_id AND agent_id = NEW.winner_agent_id);
END;

CREATE TRIGGER intent_begins_open BEFORE INSERT ON intent WHEN NEW.state <> 'open'
BEGIN
  SELECT RAISE (ABORT, 'settlement: intent_begins_open');
END;

CREATE TRIGGER intent_kept BEFORE DELETE ON intent
BEGIN
  SELECT RAISE (ABORT, 'settlement: intent_kept');
END;

CREATE TRIGGER bid_no_update BEFORE UPDATE ON bid
BEGIN
  SELECT RAISE (ABORT, 'settlement: bid_append_only');
END;

CREATE TRIGGER bid_no_delete BEFORE DELETE ON bid
BEGIN
  SELECT RAISE (ABORT, 'settlement: bid_append_only');
END;

CREATE TRIGGER bid_reveal_no_update BEFORE UPDATE ON bid_reveal
BEGIN
  SELECT RAISE (ABORT, 'settlement: bid_reveal_append_only');
END;

CREATE TRIGGER bid_reveal_no_delete BEFORE DELETE ON bid_reveal
BEGIN
  SELECT RAISE (ABORT, 'settlement: bid_reveal_append_only');
END;
