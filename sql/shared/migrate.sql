-- The bookkeeping of migrations.

-- name: migrated
-- The last migration, and the last that an older program must not work with.
SELECT
    CAST(max(number) AS text),
    CAST(max(number) FILTER (WHERE breaking) AS text)
FROM {schema}.runwrap_migrations

-- name: record_migration
INSERT INTO {schema}.runwrap_migrations (number, breaking) VALUES ({values});
