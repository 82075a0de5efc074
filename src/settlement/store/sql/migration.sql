-- The register of migrations applied to this database.

-- name: migration_table_create
CREATE TABLE schema_migration (
  number INTEGER NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL,
  applied_at TEXT NOT NULL
);

-- name: migration_all
SELECT number, name, checksum FROM schema_migration ORDER BY number;

-- name: migration_insert
INSERT INTO schema_migration (number, name, checksum, applied_at)
VALUES (:number, :name, :checksum, :applied_at);
