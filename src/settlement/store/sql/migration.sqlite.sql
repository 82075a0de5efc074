-- The catalogue of tables is not the same on both databases.

-- name: migration_table_there
SELECT count(*) AS there FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migration';
