-- The econ feed, PostgreSQL: what was released of each hour, once and for ever. The documents are
-- JSON.

CREATE TABLE feed_release (
  epoch text COLLATE "C" NOT NULL PRIMARY KEY,
  released_at text COLLATE "C" NOT NULL,
  public text COLLATE "C" NOT NULL,
  premium text COLLATE "C" NOT NULL
);

CREATE TRIGGER feed_release_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON feed_release
FOR EACH STATEMENT EXECUTE FUNCTION settlement_refuse_row('feed_release_append_only');
