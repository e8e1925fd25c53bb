-- name: lock_migrations
-- BEGIN IMMEDIATE is lock enough.
SELECT 1

-- name: in_use
-- A row unless runwrap has just made the file: then its table is no surprise.
SELECT 'true' FROM sqlite_schema LIMIT 1

-- name: catalog_columns
-- The columns of the user's table, $1; none if it is missing.
SELECT
    name,
    type,
    NULL,
    iif(dflt_value IS NOT NULL OR (pk = 1 AND upper(type) = 'INTEGER'), 'true', 'false'),
    iif(hidden > 1, 'true', 'false'),
    'false',
    CAST(cid AS TEXT)
FROM pragma_table_xinfo($1)
WHERE hidden <> 1

-- name: catalog
-- The schema of runwrap's tables, whether the migrations can be read, and which tables are there.
SELECT
    'main',
    (SELECT 'true' FROM sqlite_schema WHERE name = 'runwrap_migrations'),
    (SELECT name FROM sqlite_schema WHERE name = 'runwrap_versions')

-- name: training_records
-- The user's table, made only if there is none.
CREATE TABLE IF NOT EXISTS {table} (
    id INTEGER PRIMARY KEY,
    version TEXT,
    status TEXT NOT NULL,
    train_start_time TEXT,
    train_end_time TEXT,
    train_duration INTEGER,
    train_metrics TEXT,
    model_path TEXT,
    error_message TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    -- Indexes of `list --status` and `recover --stuck-after`. A table of the user's own making gets none.
    UNIQUE (status, id),
    UNIQUE (model_path, id),
    CONSTRAINT status_is_training_completed_or_failed CHECK (status IN ('training', 'completed', 'failed'))
);

-- name: migration
{statements}
