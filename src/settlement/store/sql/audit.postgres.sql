-- What an audit needs on PostgreSQL only.

-- name: audit_patience
-- Sums over everything take longer than any statement that serves a call may.
SET LOCAL statement_timeout = 0;
