-- What rails told us, once per message: kept as it came, whatever becomes of it.
CREATE TABLE inbox (
  source text COLLATE "C" NOT NULL,
  message_id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL UNIQUE,
  body text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL CONSTRAINT inbox_digest CHECK (length(digest) = 64),
  received_at text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL
    CONSTRAINT inbox_status CHECK (status IN ('new', 'applied', 'ignored', 'contradiction')),
  applied_at text COLLATE "C",
  note text COLLATE "C",
  UNIQUE (source, message_id)
);
CREATE INDEX inbox_open ON inbox (status, received_at) WHERE status IN ('new', 'contradiction');
