-- How a transaction begins on PostgreSQL: one round trip that also brings the database's time.
-- SQLite takes its time from the caller's clock and begins without a statement of ours.

-- name: transaction_begin
-- Writers seek by key. A plan made while a table is small would scan it, and is kept for the
-- session while the table grows; so for writers scans are off.
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT (extract(epoch FROM now()) * 1000000)::bigint,
  set_config('enable_seqscan', 'off', true);

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
