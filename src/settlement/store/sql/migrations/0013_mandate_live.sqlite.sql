-- An auto-go that names no mandate looks for those that have not ended, however many have.

CREATE INDEX mandate_live ON mandate (buyer_id, mandate_id) WHERE status = 'active';
