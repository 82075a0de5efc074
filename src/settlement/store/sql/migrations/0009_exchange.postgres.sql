-- The exchange (spec 13): intents, their sealed bids, and what the close reveals. Until then a price
-- stands in `bid.ciphertext` only. An intent and its deal share the body of their ids.

CREATE TABLE intent (
  intent_id text COLLATE "C" NOT NULL PRIMARY KEY,
  deal_id text COLLATE "C" NOT NULL UNIQUE REFERENCES deal (deal_id),
  state text COLLATE "C" NOT NULL
    CONSTRAINT intent_state CHECK (state IN ('open', 'awarded', 'no_award', 'cancelled')),
  open bigint NOT NULL CONSTRAINT intent_open CHECK (open IN (0, 1)),
  client_id text COLLATE "C" REFERENCES agent (agent_id),
  client_label text COLLATE "C" NOT NULL,
  capability text COLLATE "C" NOT NULL,
  requirements text COLLATE "C" NOT NULL,
  asset text COLLATE "C" NOT NULL REFERENCES asset (asset),
  budget_minor bigint NOT NULL CONSTRAINT intent_budget CHECK (budget_minor > 0),
  budget_nonce text COLLATE "C" NOT NULL
    CONSTRAINT intent_budget_nonce CHECK (length(budget_nonce) = 64),
  deadline_hours bigint NOT NULL CONSTRAINT intent_deadline CHECK (deadline_hours > 0),
  public_key text COLLATE "C" NOT NULL,
  sealed_key text COLLATE "C" NOT NULL,
  seal_key_id text COLLATE "C" NOT NULL,
  created_at text COLLATE "C" NOT NULL,
  closes_at text COLLATE "C" NOT NULL,
  closed_at text COLLATE "C",
  winner_bid_id text COLLATE "C",
  winner_agent_id text COLLATE "C",
  winning_minor bigint,
  due_at text COLLATE "C",
  CONSTRAINT intent_shares_its_deals_id CHECK (substr(deal_id, 6) = substr(intent_id, 8)),
  CONSTRAINT intent_closed_at CHECK ((state = 'open') = (closed_at IS NULL)),
  CONSTRAINT intent_award CHECK ((state = 'awarded') = (winner_bid_id IS NOT NULL)
    AND (winner_bid_id IS NULL) = (winner_agent_id IS NULL)
    AND (winner_bid_id IS NULL) = (winning_minor IS NULL)
    AND (winner_bid_id IS NULL) = (due_at IS NULL)),
  CONSTRAINT intent_within_budget CHECK (winning_minor BETWEEN 1 AND budget_minor)
) WITH (fillfactor = 80);
CREATE INDEX intent_due ON intent (closes_at, intent_id) WHERE state = 'open';
CREATE INDEX intent_by_winner ON intent (winner_agent_id, closed_at) WHERE open = 0;

CREATE TABLE bid (
  bid_id text COLLATE "C" NOT NULL PRIMARY KEY,
  intent_id text COLLATE "C" NOT NULL REFERENCES intent (intent_id),
  n bigint NOT NULL CONSTRAINT bid_n CHECK (n >= 0),
  agent_id text COLLATE "C" NOT NULL,
  bidder_id text COLLATE "C" REFERENCES agent (agent_id),
  commitment text COLLATE "C" NOT NULL CONSTRAINT bid_commitment CHECK (length(commitment) = 64),
  ciphertext text COLLATE "C" NOT NULL,
  ocs_hundredths bigint NOT NULL CONSTRAINT bid_ocs CHECK (ocs_hundredths BETWEEN 0 AND 10000),
  sla_ppm bigint NOT NULL CONSTRAINT bid_sla CHECK (sla_ppm BETWEEN 0 AND 1000000),
  created_at text COLLATE "C" NOT NULL,
  UNIQUE (intent_id, n),
  UNIQUE (intent_id, bid_id),
  CONSTRAINT bid_of_its_bidder CHECK (bidder_id = agent_id)
);

CREATE TABLE bid_reveal (
  bid_id text COLLATE "C" NOT NULL PRIMARY KEY,
  intent_id text COLLATE "C" NOT NULL,
  price_minor bigint NOT NULL CONSTRAINT bid_reveal_price CHECK (price_minor > 0),
  delivery_hours bigint NOT NULL CONSTRAINT bid_reveal_hours CHECK (delivery_hours > 0),
  message text COLLATE "C" NOT NULL,
  nonce text COLLATE "C" NOT NULL CONSTRAINT bid_reveal_nonce CHECK (length(nonce) = 64),
  CONSTRAINT bid_reveal_of_bid FOREIGN KEY (intent_id, bid_id)
    REFERENCES bid (intent_id, bid_id)
);
CREATE INDEX bid_reveal_by_intent ON bid_reveal (intent_id);

-- A bid comes in while its intent is open, next in line; scalar subqueries as in 0002.
CREATE FUNCTION bid_taken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT i.state = 'open' AND NEW.created_at < i.closes_at FROM intent AS i
      WHERE i.intent_id = NEW.intent_id) IS NOT TRUE THEN
    PERFORM settlement_refuse('bid_after_close');
  END IF;
  IF NEW.n <> coalesce((SELECT max(b.n) + 1 FROM bid AS b WHERE b.intent_id = NEW.intent_id), 0) THEN
    PERFORM settlement_refuse('bid_gap');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER bid_taken BEFORE INSERT ON bid FOR EACH ROW EXECUTE FUNCTION bid_taken();

-- Nothing is revealed before the close, and the winner's price is the one of the award.
CREATE FUNCTION bid_revealed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  found intent%ROWTYPE;
BEGIN
  SELECT * INTO found FROM intent AS i WHERE i.intent_id = NEW.intent_id;
  IF found.state IN ('awarded', 'no_award') IS NOT TRUE THEN
    PERFORM settlement_refuse('reveal_before_close');
  END IF;
  IF found.winner_bid_id = NEW.bid_id AND found.winning_minor <> NEW.price_minor THEN
    PERFORM settlement_refuse('reveal_of_winner');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER bid_revealed BEFORE INSERT ON bid_reveal FOR EACH ROW EXECUTE FUNCTION bid_revealed();

-- An intent ends once; what was asked for stays what was asked for.
CREATE TRIGGER intent_ends_once BEFORE UPDATE ON intent FOR EACH ROW
WHEN (OLD.state <> 'open') EXECUTE FUNCTION settlement_refuse_row('intent_ends_once');
CREATE TRIGGER intent_fixed BEFORE UPDATE ON intent FOR EACH ROW
WHEN ((NEW.intent_id, NEW.deal_id, NEW.open, NEW.client_id, NEW.client_label, NEW.capability,
    NEW.requirements, NEW.asset, NEW.budget_minor, NEW.budget_nonce, NEW.deadline_hours,
    NEW.public_key, NEW.sealed_key, NEW.seal_key_id, NEW.created_at, NEW.closes_at)
  IS DISTINCT FROM (OLD.intent_id, OLD.deal_id, OLD.open, OLD.client_id, OLD.client_label,
    OLD.capability, OLD.requirements, OLD.asset, OLD.budget_minor, OLD.budget_nonce,
    OLD.deadline_hours, OLD.public_key, OLD.sealed_key, OLD.seal_key_id, OLD.created_at,
    OLD.closes_at))
EXECUTE FUNCTION settlement_refuse_row('intent_fixed');
-- The winner is one of its bids. Not a foreign key: the tables would need each other, and could not be
-- loaded one after the other.
CREATE FUNCTION intent_awarded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT b.agent_id = NEW.winner_agent_id FROM bid AS b
      WHERE b.bid_id = NEW.winner_bid_id AND b.intent_id = NEW.intent_id) IS NOT TRUE THEN
    PERFORM settlement_refuse('intent_winner');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER intent_awarded BEFORE UPDATE ON intent FOR EACH ROW
WHEN (NEW.winner_bid_id IS NOT NULL) EXECUTE FUNCTION intent_awarded();
CREATE TRIGGER intent_begins_open BEFORE INSERT ON intent FOR EACH ROW
WHEN (NEW.state <> 'open') EXECUTE FUNCTION settlement_refuse_row('intent_begins_open');
CREATE TRIGGER intent_kept BEFORE DELETE OR TRUNCATE ON intent
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('intent_kept');

CREATE TRIGGER bid_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bid
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('bid_append_only');
CREATE TRIGGER bid_reveal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bid_reveal
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('bid_reveal_append_only');
