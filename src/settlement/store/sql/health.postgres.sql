-- PostgreSQL adds up the files of the database, indexes included.

-- name: health_database_bytes
SELECT pg_database_size(current_database()) AS bytes;
