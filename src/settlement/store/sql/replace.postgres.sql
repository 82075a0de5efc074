-- The old data is moved aside in the transaction that brings the new: either all of it or nothing.
-- Tables take their indexes, triggers and sequences along.

-- name: replace_move_aside
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
CREATE SCHEMA {aside};
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN SELECT c.oid::regclass AS name FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  LOOP
    EXECUTE 'ALTER TABLE ' || found.name || ' SET SCHEMA {aside}';
  END LOOP;
  FOR found IN SELECT p.oid::regprocedure AS name FROM pg_proc AS p
    WHERE p.pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
  LOOP
    EXECUTE 'ALTER FUNCTION ' || found.name || ' SET SCHEMA {aside}';
  END LOOP;
END $$;

-- name: replace_tables_there
SELECT count(*) FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r';

-- What a recovery needs a right for, and the role lacks; asked before anything is touched.
-- name: replace_rights_missing
SELECT what FROM (VALUES
  ('to make a schema in this database',
    has_database_privilege(current_database(), 'CREATE')),
  ('to make tables in the schema public',
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)),
  ('to move tables that it does not own', NOT EXISTS (SELECT 1 FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
      AND NOT pg_has_role(c.relowner, 'USAGE')))) AS needed (what, has)
WHERE NOT has;

-- The new tables belong to whom the old ones belonged, and everybody may what they might: without
-- this the service could not read what was restored for it.
-- name: replace_rights
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN SELECT new.oid::regclass AS name, pg_get_userbyid(old.relowner) AS owner
    FROM pg_class AS old JOIN pg_class AS new USING (relname, relkind)
    WHERE old.relnamespace = '{aside}'::regnamespace AND old.relkind = 'r'
      AND new.relnamespace = current_schema()::regnamespace AND new.relowner <> old.relowner
  LOOP
    EXECUTE 'ALTER TABLE ' || found.name || ' OWNER TO ' || quote_ident(found.owner);
  END LOOP;
  FOR found IN SELECT new.oid::regprocedure AS name, pg_get_userbyid(old.proowner) AS owner
    FROM pg_proc AS old JOIN pg_proc AS new USING (proname, proargtypes)
    WHERE old.pronamespace = '{aside}'::regnamespace
      AND new.pronamespace = current_schema()::regnamespace AND new.proowner <> old.proowner
  LOOP
    EXECUTE 'ALTER FUNCTION ' || found.name || ' OWNER TO ' || quote_ident(found.owner);
  END LOOP;
  FOR found IN SELECT new.oid::regclass AS name, given.privilege_type AS may,
      CASE given.grantee WHEN 0 THEN 'PUBLIC'
        ELSE quote_ident(pg_get_userbyid(given.grantee)) END AS grantee,
      CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS further
    FROM pg_class AS old JOIN pg_class AS new USING (relname, relkind),
      aclexplode(old.relacl) AS given
    WHERE old.relnamespace = '{aside}'::regnamespace AND old.relkind = 'r'
      AND new.relnamespace = current_schema()::regnamespace AND given.grantee <> new.relowner
  LOOP
    EXECUTE 'GRANT ' || found.may || ' ON ' || found.name || ' TO ' || found.grantee
      || found.further;
  END LOOP;
END $$;
