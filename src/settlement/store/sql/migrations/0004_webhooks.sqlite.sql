-- Outgoing webhooks (spec 10.2): who wants to be told, and what each is told.

CREATE TABLE hook (
  hook_id TEXT NOT NULL PRIMARY KEY,
  owner_id TEXT NOT NULL REFERENCES agent (agent_id),
  url TEXT NOT NULL,
  events TEXT NOT NULL,
  -- Signing needs the secret itself, so no digest would do. Emptied when the hook is deleted.
  secret TEXT NOT NULL,
  secret_before TEXT,
  secret_before_until_us INTEGER,
  status TEXT NOT NULL
    CONSTRAINT hook_status CHECK (status IN ('active', 'disabled', 'deleted')),
  disabled_reason TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX hook_by_owner ON hook (owner_id);
CREATE INDEX hook_active ON hook (hook_id) WHERE status = 'active';

-- `stream` and `version` order what one hook is told: the event's place in its chain. `data` is the
-- body of what is no event of a chain (tests, notices); an event's is read from its own row.
CREATE TABLE delivery (
  delivery_id TEXT NOT NULL PRIMARY KEY,
  hook_id TEXT NOT NULL REFERENCES hook (hook_id),
  event_id TEXT NOT NULL,
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  name TEXT NOT NULL,
  data TEXT,
  status TEXT NOT NULL
    CONSTRAINT delivery_status CHECK (
      status IN ('pending', 'leased', 'delivered', 'failed', 'cancelled')),
  tries INTEGER NOT NULL CONSTRAINT delivery_tries CHECK (tries >= 0),
  due_us INTEGER NOT NULL,
  lease_owner TEXT,
  lease_fence INTEGER NOT NULL CONSTRAINT delivery_lease_fence CHECK (lease_fence >= 0),
  lease_expires_us INTEGER,
  last_status INTEGER,
  last_error TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (event_id, hook_id)
) STRICT;
CREATE INDEX delivery_due ON delivery (due_us) WHERE status = 'pending';
CREATE INDEX delivery_leased ON delivery (lease_expires_us) WHERE status = 'leased';
CREATE INDEX delivery_head ON delivery (hook_id, stream, version)
  WHERE status IN ('pending', 'leased');
CREATE INDEX delivery_by_hook ON delivery (hook_id, delivery_id);
