-- What an operator looks at: effects, jobs, and what the database says of itself.

-- Payloads, destinations and plans stay where they are: a list is for reading over a shoulder.
-- name: operator_effects
SELECT e.effect_id, e.kind, e.deal_id, e.rail, e.asset, e.amount_minor, e.state, e.ask_count,
  e.rail_ref, e.refusal, e.sent_at, e.asked_at, e.created_at, e.updated_at, j.last_error,
  j.status AS job_status, j.run_at_us AS job_run_at_us
FROM effect AS e LEFT JOIN job AS j ON j.job_type = 'effect' AND j.dedup_key = e.effect_id
WHERE (:state = '' OR e.state = :state OR :state = 'open')
  AND (:state <> 'open' OR e.state IN ('planned', 'sent', 'unknown'))
  AND (:deal_id = '' OR e.deal_id = :deal_id)
  -- A party, or one who acted: top-ups have chains of their own and no parties.
  AND (:agent_id = ''
    OR EXISTS (SELECT 1 FROM party AS p WHERE p.deal_id = e.deal_id AND p.agent_id = :agent_id)
    OR EXISTS (SELECT 1 FROM event AS v WHERE v.deal_id = e.deal_id
        AND :agent_id IN (v.actor_id, v.counterparty_id)))
ORDER BY e.effect_id DESC LIMIT :limit;

-- name: operator_jobs
SELECT job_id, job_type, deal_id, status, attempts, max_attempts, lost_leases, run_at_us,
  lease_owner, lease_expires_us, last_error, created_at, updated_at
FROM job
WHERE (:state = '' OR status = :state)
ORDER BY job_id DESC LIMIT :limit;

-- name: operator_outbox
SELECT seq, outbox_id, deal_id, event_type, status, attempts, next_attempt_us, last_error,
  timestamp AS created_at, emitted_at
FROM outbox
WHERE status = :state
ORDER BY seq LIMIT :limit;

-- What of one deal is not told yet, by the index of what is open.
-- name: operator_deal_messages
SELECT seq, event_type, status, attempts, last_error, timestamp AS created_at
FROM outbox
WHERE deal_id = :deal_id AND status IN ('pending', 'parked')
ORDER BY seq;

-- The end of a chain, by its primary key.
-- name: operator_chain_tail
SELECT e.version, e.event_type, e.actor_id, e.timestamp, l.log_index, e.payload
FROM event AS e LEFT JOIN log_entry AS l ON l.deal_id = e.deal_id AND l.version = e.version
WHERE e.deal_id = :deal_id
ORDER BY e.version DESC LIMIT :limit;

-- Bodies stay where they are. By the index of what is open, where that is asked for.
-- name: operator_inbox
SELECT event_id, source, message_id, status, note, received_at AS created_at, applied_at
FROM inbox
WHERE status = :state
ORDER BY received_at DESC LIMIT :limit;

-- name: operator_probe
-- Writes what is there already: proves that a commit can be made, and changes nothing.
UPDATE setting SET value = value WHERE name = 'recovery_epoch';

-- name: operator_last_time
SELECT max(timestamp) AS at FROM tree_head;
