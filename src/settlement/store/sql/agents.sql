-- Agents and what is read of them for the routes.

-- name: agents_get
SELECT agent_id, name, agent_type, capabilities, description, api_endpoint, owner_email, status,
  operator, created_at, verifier
FROM agent WHERE agent_id = :agent_id;

-- name: agents_page
SELECT agent_id, name, agent_type, capabilities, description, api_endpoint, owner_email, status,
  operator, created_at, verifier
FROM agent
WHERE :only = '' OR (:only = 'suspended' AND status = 'suspended')
  OR (:only = 'verifier' AND verifier = 1)
ORDER BY agent_id DESC LIMIT :limit;

-- name: agents_set_standing
UPDATE agent SET status = :status, verifier = :verifier WHERE agent_id = :agent_id;

-- name: agents_volume_last
SELECT n, at, total_minor FROM volume_entry
WHERE agent_id = :agent_id AND asset = :asset ORDER BY n DESC LIMIT 1;

-- name: agents_volume_before
-- The running total as it stood when the window began.
SELECT total_minor FROM volume_entry
WHERE agent_id = :agent_id AND asset = :asset AND at <= :window_start
ORDER BY at DESC, n DESC LIMIT 1;

-- name: agents_outcomes_recent
-- The latest entries first, then the deals: as many look-ups as the limit, whatever the history.
SELECT v.at, d.deal_id, d.state, d.open, d.seller_id, d.buyer_id,
  CASE WHEN (SELECT s.dispute_id FROM dispute AS s WHERE s.deal_id = d.deal_id) IS NULL
    THEN 0 ELSE 1 END AS disputed
FROM (SELECT at, n, deal_id, delta_minor FROM volume_entry
      WHERE agent_id = :agent_id AND asset = :asset ORDER BY n DESC LIMIT :limit) AS v
JOIN deal AS d ON d.deal_id = v.deal_id
WHERE v.delta_minor > 0
ORDER BY v.n DESC;

-- name: agents_outcomes_bad
-- Deals that count against a seller, the latest first.
SELECT b.at, d.deal_id, d.state, d.open, d.seller_id, d.buyer_id, 1 AS disputed
FROM (SELECT at, deal_id FROM bad_outcome
      WHERE agent_id = :agent_id AND asset = :asset ORDER BY at DESC LIMIT :limit) AS b
JOIN deal AS d ON d.deal_id = b.deal_id
ORDER BY b.at DESC;

-- name: agents_volume_taken
-- Entries that took volume away again; the others are settlements.
SELECT count(*) AS n FROM volume_entry
WHERE agent_id = :agent_id AND asset = :asset AND delta_minor < 0;

-- name: agents_accounts
SELECT ref, asset, account_class, guard, holder, deal_id, debits_posted, credits_posted,
  debits_held, credits_held, version, opened_at, closed_at
FROM account WHERE holder = :agent_id AND account_class IN ('agent', 'receivable')
ORDER BY asset, ref;

-- name: agents_deals_page
-- Deals the agent is a party of, by id, which sorts by time.
SELECT DISTINCT deal_id FROM party
WHERE agent_id = :agent_id AND deal_id > :after ORDER BY deal_id LIMIT :limit;
