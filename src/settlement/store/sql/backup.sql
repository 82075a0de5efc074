-- What a manifest says of the books beside the rows themselves.

-- name: backup_settled
SELECT asset, count(*) AS settlements, coalesce(sum(gross_minor), 0) AS gross_minor,
  coalesce(sum(platform_fee_minor), 0) AS platform_fee_minor,
  coalesce(sum(protocol_fee_minor), 0) AS protocol_fee_minor,
  coalesce(sum(net_minor), 0) AS net_minor
FROM settlement GROUP BY asset ORDER BY asset;

-- name: backup_moved
SELECT asset, count(*) AS transfers, coalesce(sum(amount_minor), 0) AS moved_minor
FROM transfer GROUP BY asset ORDER BY asset;
