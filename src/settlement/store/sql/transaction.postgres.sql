-- How a transaction begins on PostgreSQL: one round trip that also brings the database's time.
-- SQLite takes its time from the caller's clock and begins without a statement of ours.

-- name: transaction_begin
-- A plan made while a table is small may scan it, and is kept while the table grows: writers seek by
-- key or not at all, so scans are off for them.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL enable_seqscan = off;
SELECT (extract(epoch FROM now()) * 1000000)::bigint;

-- name: transaction_begin_read
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT (extract(epoch FROM now()) * 1000000)::bigint;

-- name: transaction_settings
SET synchronous_commit = on;
SET statement_timeout = '60s';
SET lock_timeout = '10s';
SET idle_in_transaction_session_timeout = '60s';
SET timezone = 'UTC';
SET client_min_messages = warning;
