-- What rails told us, once per message: kept as it came, whatever becomes of it.
CREATE TABLE inbox (
  source TEXT NOT NULL,
  message_id TEXT NOT NULL,
  event_id TEXT NOT NULL UNIQUE,
  body TEXT NOT NULL,
  digest TEXT NOT NULL CONSTRAINT inbox_digest CHECK (length(digest) = 64),
  received_at TEXT NOT NULL,
  status TEXT NOT NULL
    CONSTRAINT inbox_status CHECK (status IN ('new', 'applied', 'ignored', 'contradiction')),
  applied_at TEXT,
  note TEXT,
  UNIQUE (source, message_id)
) STRICT;
CREATE INDEX inbox_open ON inbox (status, received_at) WHERE status IN ('new', 'contradiction');
