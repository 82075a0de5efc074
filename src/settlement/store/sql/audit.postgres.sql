-- What an audit needs on PostgreSQL only. It reads everything once, and statistics may be old or none:
-- left to itself the planner answers a page by joining whole tables, or a sum by going through a whole
-- table for each row of another. So it is told which of the two a query is.

-- name: audit_patience
-- Sums over everything take longer than any statement that serves a call may.
SET LOCAL statement_timeout = 0;

-- name: audit_by_page
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
  set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
  set_config('enable_sort', 'off', true), set_config('enable_nestloop', 'on', true);

-- name: audit_by_sum
SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true),
  set_config('enable_seqscan', 'on', true), set_config('enable_bitmapscan', 'on', true),
  set_config('enable_sort', 'on', true), set_config('enable_nestloop', 'off', true);
