-- API keys (spec 12.1): why one was revoked, which agents an operator approved as verifiers, pages
-- of an agent's keys by id, and what about a key never changes.

ALTER TABLE api_key ADD COLUMN revoke_reason text COLLATE "C";
ALTER TABLE agent ADD COLUMN verifier bigint NOT NULL DEFAULT 0
  CONSTRAINT agent_verifier CHECK (verifier IN (0, 1));

DROP INDEX api_key_by_agent;
CREATE INDEX api_key_by_agent ON api_key (agent_id, key_id);

CREATE FUNCTION api_key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- A key is what it was made as: another secret, owner or wider scopes would be another key.
  IF NEW.key_prefix <> OLD.key_prefix OR NEW.key_id <> OLD.key_id OR NEW.agent_id <> OLD.agent_id
      OR NEW.digest <> OLD.digest OR NEW.scopes <> OLD.scopes OR NEW.created_at <> OLD.created_at
      OR NEW.expires_at IS DISTINCT FROM OLD.expires_at
      OR NEW.rotated_from IS DISTINCT FROM OLD.rotated_from THEN
    PERFORM settlement_refuse('api_key_fixed');
  END IF;
  -- Active, then in grace, then revoked: never back, and a grace only gets shorter.
  IF (OLD.status = 'revoked' AND NEW.status <> 'revoked') OR (OLD.status = 'grace'
      AND (NEW.status = 'active' OR NEW.grace_until > OLD.grace_until)) THEN
    PERFORM settlement_refuse('api_key_forward');
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER api_key_changed BEFORE UPDATE ON api_key
FOR EACH ROW EXECUTE FUNCTION api_key_changed();
