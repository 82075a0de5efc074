-- The econ feed, SQLite: what was released of each hour, once and for ever. The documents are JSON.

CREATE TABLE feed_release (
  epoch TEXT NOT NULL PRIMARY KEY,
  released_at TEXT NOT NULL,
  public TEXT NOT NULL,
  premium TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER feed_release_no_update BEFORE UPDATE ON feed_release
BEGIN
  SELECT RAISE (ABORT, 'settlement: feed_release_append_only');
END;

CREATE TRIGGER feed_release_no_delete BEFORE DELETE ON feed_release
BEGIN
  SELECT RAISE (ABORT, 'settlement: feed_release_append_only');
END;
