-- Lease time on SQLite: an offset per boot of the machine. PostgreSQL has a clock of its own.

-- name: lease_clock_find
SELECT value FROM setting WHERE name = :name;

-- name: lease_clock_insert
INSERT INTO setting (name, value) VALUES (:name, :value);

-- Whoever held something before the machine booted is dead.
-- name: lease_clock_void_leases
UPDATE lease SET expires_us = 0 WHERE expires_us > 0;

-- name: lease_clock_void_jobs
UPDATE job SET lease_expires_us = 0 WHERE status = 'leased';

-- name: lease_clock_void_deliveries
UPDATE delivery SET lease_expires_us = 0 WHERE status = 'leased';
