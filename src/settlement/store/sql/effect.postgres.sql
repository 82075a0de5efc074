-- Lists arrive as arrays.
-- name: effect_mark_sent
UPDATE effect SET state = 'sent', fence = mine.fence, sent_at = :now, updated_at = :now
FROM unnest(:ids::text[], :fences::bigint[]) AS mine (id, fence)
WHERE effect.effect_id = mine.id AND effect.fence < mine.fence AND effect.state = 'planned';

-- name: effect_mark_asked
UPDATE effect SET state = 'unknown', fence = mine.fence, ask_count = ask_count + 1,
  asked_at = :now, updated_at = :now
FROM unnest(:ids::text[], :fences::bigint[]) AS mine (id, fence)
WHERE effect.effect_id = mine.id AND effect.fence < mine.fence
  AND effect.state IN ('sent', 'unknown');

-- name: effect_mark_sent_again
UPDATE effect SET state = 'sent', sent_at = :now, updated_at = :now
FROM unnest(:ids::text[], :fences::bigint[]) AS mine (id, fence)
WHERE effect.effect_id = mine.id AND effect.fence = mine.fence AND effect.state = 'unknown'
RETURNING effect_id;

-- name: payout_mark_state
UPDATE payout SET state = :state, updated_at = :now,
  waiting_for = CASE WHEN waiting_for IN ('paused', 'recovery_parked', 'disputed') THEN 'effect_open' ELSE waiting_for END,
  waiting_since = CASE WHEN waiting_for IN ('paused', 'recovery_parked', 'disputed') THEN :now ELSE waiting_since END,
  next_check_at = CASE WHEN waiting_for IN ('paused', 'recovery_parked', 'disputed') THEN NULL ELSE next_check_at END
WHERE payout_id = ANY(:ids) AND state IN ('planned', 'sent', 'unknown');

-- name: payout_mark_waiting
UPDATE payout SET waiting_for = :waiting_for, next_check_at = :next_check_at, updated_at = :now,
  waiting_since = CASE WHEN waiting_for = :waiting_for THEN waiting_since ELSE :now END
WHERE payout_id = ANY(:ids) AND state = 'planned';

-- name: effect_barred_payouts
-- Payouts that wait for a ruling, or were planned for more than is left since.
SELECT e.effect_id, CASE WHEN d.state = 'disputed' THEN 1 ELSE 0 END AS disputed
FROM effect AS e JOIN deal AS d ON d.deal_id = e.deal_id
WHERE e.effect_id = ANY(:ids::text[]) AND (d.state = 'disputed'
  OR EXISTS (SELECT 1 FROM refund AS r WHERE r.deal_id = e.deal_id AND r.state <> 'refused'
    AND r.created_at > e.created_at));
