-- Intents and bids as the service, the audit and the close loop read them.

-- name: exchange_intent
SELECT i.*, (SELECT max(b.n) + 1 FROM bid AS b WHERE b.intent_id = i.intent_id) AS bid_count
FROM intent AS i WHERE i.intent_id = :intent_id;

-- name: exchange_bids
SELECT * FROM bid WHERE intent_id = :intent_id ORDER BY n;

-- name: exchange_bids_by
-- An intent takes a thousand bids at most, so this reads no more.
SELECT count(*) AS made FROM bid WHERE intent_id = :intent_id AND agent_id = :agent_id;

-- name: exchange_reveals
SELECT * FROM bid_reveal WHERE intent_id = :intent_id;

-- name: exchange_due
-- Open intents whose time has come, after a place in the same order.
SELECT intent_id, closes_at FROM intent
WHERE state = 'open' AND closes_at <= :now AND (closes_at, intent_id) > (:closes_at, :after)
ORDER BY closes_at, intent_id LIMIT :limit;

-- name: exchange_on_time
-- The latest awards of an agent that were settled, and how many of them in time.
SELECT count(*) AS settled,
  coalesce(sum(CASE WHEN d.settled_at <= i.due_at THEN 1 ELSE 0 END), 0) AS on_time
FROM (SELECT deal_id, due_at FROM intent WHERE winner_agent_id = :agent_id AND open = 0
      ORDER BY closed_at DESC LIMIT :limit) AS i
JOIN deal AS d ON d.deal_id = i.deal_id
WHERE d.state = 'settled';
