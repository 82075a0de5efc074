-- Whole tables, out and in. {table}, {columns} and {key} are names that the catalogue gave.

-- name: copy_count
SELECT count(*) FROM {table};

-- name: copy_rows
SELECT {columns} FROM {table} ORDER BY {key};

-- name: copy_clear
DELETE FROM {table};
