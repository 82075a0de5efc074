-- Rate limits that all processes share: when the next call would come if all had come evenly. A row
-- whose time is past says nothing, and goes. No other index, and room on each page: a change then
-- stays on its page and touches no index.
CREATE TABLE rate_limit (
  principal text COLLATE "C" NOT NULL,
  bucket text COLLATE "C" NOT NULL,
  tat_us bigint NOT NULL CONSTRAINT rate_limit_tat CHECK (tat_us > 0),
  version bigint NOT NULL CONSTRAINT rate_limit_version CHECK (version > 0),
  PRIMARY KEY (principal, bucket)
) WITH (fillfactor = 50);
