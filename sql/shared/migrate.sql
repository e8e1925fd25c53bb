-- The bookkeeping of migrations.

-- name: migrated
-- In a batch. There are a few: two aggregates would cost a new connection to a server more than the rows.
SELECT
    number,
    breaking
FROM {schema}.runwrap_migrations

-- name: record_migration
INSERT INTO {schema}.runwrap_migrations (number, breaking) VALUES ({values});
