-- The next messages in order of their numbers, each with whether its event is in its chain. A deal
-- whose earlier message waits for another try, or was given up on, is left alone.
-- name: outbox_find_due
SELECT o.seq, o.deal_id, o.event_id, o.attempts,
  CASE WHEN e.event_id IS NULL THEN 0 ELSE 1 END AS in_chain
FROM outbox AS o LEFT JOIN event AS e ON e.event_id = o.event_id AND e.deal_id = o.deal_id
WHERE o.status = 'pending' AND o.next_attempt_us <= :now_us AND NOT EXISTS (
  SELECT 1 FROM outbox AS h
  WHERE h.deal_id = o.deal_id AND h.seq < o.seq AND h.status IN ('pending', 'parked')
    AND (h.status = 'parked' OR h.next_attempt_us > :now_us))
ORDER BY o.seq LIMIT :row_limit;

-- name: outbox_fail
UPDATE outbox SET attempts = attempts + 1, next_attempt_us = :next_attempt_us,
  last_error = :last_error, status = CASE WHEN attempts + 1 >= :attempts_max THEN 'parked'
    ELSE 'pending' END
WHERE seq = :seq AND status = 'pending';

-- name: outbox_find
SELECT o.seq, o.status, CASE WHEN e.event_id IS NULL THEN 0 ELSE 1 END AS in_chain
FROM outbox AS o LEFT JOIN event AS e ON e.event_id = o.event_id AND e.deal_id = o.deal_id
WHERE o.seq = :seq;

-- An operator's word stays with the message: emitting does not touch it.
-- name: outbox_release
UPDATE outbox SET status = 'pending', attempts = 0, next_attempt_us = 0, last_error = :note
WHERE seq = :seq AND status = 'parked';
