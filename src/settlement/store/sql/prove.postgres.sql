-- Constraints by name; what has no constraint of that name was refused by a trigger's function.
-- name: prove_layer_texts
SELECT CASE contype WHEN 'c' THEN 'check' WHEN 'f' THEN 'foreign key' ELSE 'unique index' END
  AS type, conname AS sql
FROM pg_constraint;

-- Every guard with its definition, to compare a live database with one fresh from the migrations.
-- name: prove_guards
SELECT c.relname || '.' || t.tgname AS name, md5(pg_get_triggerdef(t.oid)
  || pg_get_functiondef(t.tgfoid) || CAST(t.tgenabled AS text)) AS digest
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND NOT t.tgisinternal
UNION ALL
SELECT c.relname || '.' || k.conname, md5(pg_get_constraintdef(k.oid) || CAST(k.convalidated AS text))
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public';

-- Database names cannot be parameters; the name is put in as a quoted identifier.
-- name: scratch_create
CREATE DATABASE {name};

-- name: scratch_drop
DROP DATABASE {name} WITH (FORCE);
