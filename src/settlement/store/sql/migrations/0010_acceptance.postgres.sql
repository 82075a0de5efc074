-- The acceptance gate (spec 4.4): what a buyer is asked to look at. A deal has one review at a time;
-- a new proof pack ends it, so a deal may have had several.

CREATE TABLE acceptance (
  acceptance_id text COLLATE "C" NOT NULL PRIMARY KEY,
  deal_id text COLLATE "C" NOT NULL REFERENCES deal (deal_id),
  downstream_action text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL
    CONSTRAINT acceptance_status CHECK (status IN ('pending', 'accepted', 'rejected')),
  submitted_by text COLLATE "C" NOT NULL,
  proof_hash text COLLATE "C" NOT NULL,
  scope_lock_hash text COLLATE "C" NOT NULL,
  review_deadline text COLLATE "C",
  reviewer_id text COLLATE "C",
  reason text COLLATE "C",
  checks_passed text COLLATE "C" NOT NULL,
  checks_failed text COLLATE "C" NOT NULL,
  created_at text COLLATE "C" NOT NULL,
  decided_at text COLLATE "C",
  CONSTRAINT acceptance_decided CHECK (
    (status = 'pending') = (decided_at IS NULL) AND (status = 'pending') = (reviewer_id IS NULL))
);
CREATE INDEX acceptance_by_deal ON acceptance (deal_id, acceptance_id);
