-- Mandates (spec 4.7): what a buyer lets be approved without being asked. What is left of a reserve
-- is no column: it is what the account `mandate:<id>` can give, which the database guards.

CREATE TABLE mandate (
  mandate_id text COLLATE "C" NOT NULL PRIMARY KEY,
  buyer_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  asset text COLLATE "C" NOT NULL REFERENCES asset (asset),
  max_amount_minor bigint NOT NULL
    CONSTRAINT mandate_max_amount_minor CHECK (max_amount_minor > 0),
  allowed_verticals text COLLATE "C" NOT NULL,
  confidence_threshold text COLLATE "C" NOT NULL,
  reserve_minor bigint CONSTRAINT mandate_reserve_minor CHECK (reserve_minor > 0),
  status text COLLATE "C" NOT NULL CONSTRAINT mandate_status CHECK (status IN ('active', 'revoked')),
  expires_at text COLLATE "C",
  created_at text COLLATE "C" NOT NULL,
  revoked_at text COLLATE "C",
  CONSTRAINT mandate_revoked_when CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE INDEX mandate_by_buyer ON mandate (buyer_id, mandate_id);
