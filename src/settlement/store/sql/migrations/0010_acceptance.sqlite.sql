-- The acceptance gate (spec 4.4): what a buyer is asked to look at. A deal has one review at a time;
-- a new proof pack ends it, so a deal may have had several.

CREATE TABLE acceptance (
  acceptance_id TEXT NOT NULL PRIMARY KEY,
  deal_id TEXT NOT NULL REFERENCES deal (deal_id),
  downstream_action TEXT NOT NULL,
  status TEXT NOT NULL
    CONSTRAINT acceptance_status CHECK (status IN ('pending', 'accepted', 'rejected')),
  submitted_by TEXT NOT NULL,
  proof_hash TEXT NOT NULL,
  scope_lock_hash TEXT NOT NULL,
  review_deadline TEXT,
  reviewer_id TEXT,
  reason TEXT,
  checks_passed TEXT NOT NULL,
  checks_failed TEXT NOT NULL,
  created_at TEXT NOT NULL,
  decided_at TEXT,
  CONSTRAINT acceptance_decided CHECK (
    (status = 'pending') = (decided_at IS NULL) AND (status = 'pending') = (reviewer_id IS NULL))
) STRICT;
CREATE INDEX acceptance_by_deal ON acceptance (deal_id, acceptance_id);
