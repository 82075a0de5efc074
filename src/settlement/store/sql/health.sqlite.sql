-- SQLite knows its size by its pages; what waits in the write-ahead log is not counted.

-- name: health_database_bytes
SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)
  AS bytes;
