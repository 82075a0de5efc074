-- Outgoing webhooks (spec 10.2): who wants to be told, and what each is told.

CREATE TABLE hook (
  hook_id text COLLATE "C" NOT NULL PRIMARY KEY,
  owner_id text COLLATE "C" NOT NULL REFERENCES agent (agent_id),
  url text COLLATE "C" NOT NULL,
  events text COLLATE "C" NOT NULL,
  -- Signing needs the secret itself, so no digest would do. Emptied when the hook is deleted.
  secret text COLLATE "C" NOT NULL,
  secret_before text COLLATE "C",
  secret_before_until_us bigint,
  status text COLLATE "C" NOT NULL
    CONSTRAINT hook_status CHECK (status IN ('active', 'disabled', 'deleted')),
  disabled_reason text COLLATE "C",
  created_at text COLLATE "C" NOT NULL,
  updated_at text COLLATE "C" NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX hook_by_owner ON hook (owner_id);
CREATE INDEX hook_active ON hook (hook_id) WHERE status = 'active';

-- `stream` and `version` order what one hook is told: the event's place in its chain. `data` is the
-- body of what is no event of a chain (tests, notices); an event's is read from its own row.
CREATE TABLE delivery (
  delivery_id text COLLATE "C" NOT NULL PRIMARY KEY,
  hook_id text COLLATE "C" NOT NULL REFERENCES hook (hook_id),
  event_id text COLLATE "C" NOT NULL,
  stream text COLLATE "C" NOT NULL,
  version bigint NOT NULL,
  name text COLLATE "C" NOT NULL,
  data text COLLATE "C",
  status text COLLATE "C" NOT NULL
    CONSTRAINT delivery_status CHECK (
      status IN ('pending', 'leased', 'delivered', 'failed', 'cancelled')),
  tries bigint NOT NULL CONSTRAINT delivery_tries CHECK (tries >= 0),
  due_us bigint NOT NULL,
  lease_owner text COLLATE "C",
  lease_fence bigint NOT NULL CONSTRAINT delivery_lease_fence CHECK (lease_fence >= 0),
  lease_expires_us bigint,
  last_status bigint,
  last_error text COLLATE "C",
  created_at text COLLATE "C" NOT NULL,
  updated_at text COLLATE "C" NOT NULL,
  UNIQUE (event_id, hook_id)
) WITH (fillfactor = 80);
CREATE INDEX delivery_due ON delivery (due_us) WHERE status = 'pending';
CREATE INDEX delivery_leased ON delivery (lease_expires_us) WHERE status = 'leased';
CREATE INDEX delivery_head ON delivery (hook_id, stream, version)
  WHERE status IN ('pending', 'leased');
CREATE INDEX delivery_by_hook ON delivery (hook_id, delivery_id);
