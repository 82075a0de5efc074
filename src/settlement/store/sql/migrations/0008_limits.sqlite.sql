-- Rate limits that all processes share: when the next call would come if all had come evenly. A row
-- whose time is past says nothing, and goes.
CREATE TABLE rate_limit (
  principal TEXT NOT NULL,
  bucket TEXT NOT NULL,
  tat_us INTEGER NOT NULL CONSTRAINT rate_limit_tat CHECK (tat_us > 0),
  version INTEGER NOT NULL CONSTRAINT rate_limit_version CHECK (version > 0),
  PRIMARY KEY (principal, bucket)
) STRICT, WITHOUT ROWID;
