-- Three roles for a settlement database, each with no more than it needs. Run it as the owner of the
-- tables, in the database itself, after every `settlement migrate`; running it again is harmless.
-- Roles are made without a password and may log in: give them one, or a certificate, yourself.
--
--   settlement_engine  `settlement serve --no-migrate` and `worker --no-migrate`: may add history,
--                      never change it; may not touch the rules of the ledger
--   settlement_api     tools of yours around the service: hooks, payout destinations; reads the rest
--                      but secrets; cannot add an event, a transfer or a claim, so cannot move money
--   settlement_audit   `settlement audit`, `export`, `backup`: reads everything, writes nothing

DO $$
DECLARE
  role text;
  rel record;
  history boolean;
BEGIN
  FOREACH role IN ARRAY ARRAY['settlement_engine', 'settlement_api', 'settlement_audit'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', role);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', role);
  END LOOP;

  FOR rel IN SELECT c.oid, c.relname FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'r'
  LOOP
    EXECUTE format('GRANT SELECT ON %I TO settlement_engine, settlement_audit', rel.relname);

    -- What a trigger keeps from being changed, the engine may not even try to change.
    history := EXISTS (SELECT FROM pg_trigger AS t
      WHERE t.tgrelid = rel.oid AND t.tgname = rel.relname || '_append_only');
    IF rel.relname IN ('movement_rule', 'asset', 'schema_migration') THEN
      NULL;  -- rules of the ledger: only a migration, run by the owner, changes them
    ELSIF history THEN
      EXECUTE format('GRANT INSERT ON %I TO settlement_engine', rel.relname);
    ELSE
      EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %I TO settlement_engine', rel.relname);
    END IF;

    IF rel.relname IN ('hook', 'destination') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO settlement_api', rel.relname);
    ELSIF rel.relname NOT IN ('api_key', 'setting') THEN
      EXECUTE format('GRANT SELECT ON %I TO settlement_api', rel.relname);
    END IF;
  END LOOP;
END $$;
