-- The econ feed: settled facts of an hour, and what was released of it.

-- Between an authenticated buyer and an authenticated seller who are not one: an open deal, or one
-- with oneself, would make a crowd out of nobody. tx_id is unique and in the order of booking.
-- name: feed_facts
SELECT d.vertical AS vertical, s.buyer_id AS buyer, s.seller_id AS seller,
  count(*) AS deals, CAST(sum(s.gross_minor) AS bigint) AS gross_minor
FROM settlement AS s JOIN deal AS d ON d.deal_id = s.deal_id
WHERE s.tx_id >= :from_tx AND s.tx_id < :before_tx AND s.asset = :asset
  AND d.open = 0 AND s.buyer_id IS NOT NULL AND s.buyer_id <> s.seller_id
GROUP BY d.vertical, s.buyer_id, s.seller_id;

-- name: feed_first_settlement
SELECT tx_id FROM settlement ORDER BY tx_id LIMIT 1;

-- name: feed_last_epoch
SELECT epoch FROM feed_release ORDER BY epoch DESC LIMIT 1;

-- name: feed_keep
INSERT INTO feed_release (epoch, released_at, public, premium)
VALUES (:epoch, :released_at, :public, :premium)
ON CONFLICT (epoch) DO NOTHING;

-- name: feed_last_releases
SELECT epoch, released_at, public, premium FROM feed_release ORDER BY epoch DESC LIMIT :limit;
