-- Mandates (spec 4.7): what a buyer lets be approved without being asked. What is left of a reserve
-- is no column: it is what the account `mandate:<id>` can give, which the database guards.

CREATE TABLE mandate (
  mandate_id TEXT NOT NULL PRIMARY KEY,
  buyer_id TEXT NOT NULL REFERENCES agent (agent_id),
  asset TEXT NOT NULL REFERENCES asset (asset),
  max_amount_minor INTEGER NOT NULL
    CONSTRAINT mandate_max_amount_minor CHECK (max_amount_minor > 0),
  allowed_verticals TEXT NOT NULL,
  confidence_threshold TEXT NOT NULL,
  reserve_minor INTEGER CONSTRAINT mandate_reserve_minor CHECK (reserve_minor > 0),
  status TEXT NOT NULL CONSTRAINT mandate_status CHECK (status IN ('active', 'revoked')),
  expires_at TEXT,
  created_at TEXT NOT NULL,
  revoked_at TEXT,
  CONSTRAINT mandate_revoked_when CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
) STRICT;
CREATE INDEX mandate_by_buyer ON mandate (buyer_id, mandate_id);
