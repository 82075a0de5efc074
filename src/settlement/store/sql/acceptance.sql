-- Reviews, for whoever knows the deal or the review.

-- name: acceptance_of_deal
SELECT a.* FROM deal AS d JOIN acceptance AS a ON a.acceptance_id = d.acceptance_id
WHERE d.deal_id = :deal_id;

-- name: acceptance_deal
SELECT deal_id FROM acceptance WHERE acceptance_id = :acceptance_id;
