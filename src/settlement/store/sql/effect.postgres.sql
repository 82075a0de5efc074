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
UPDATE payout SET state = :state, updated_at = :now
WHERE payout_id = ANY(:ids) AND state IN ('planned', 'sent', 'unknown');
