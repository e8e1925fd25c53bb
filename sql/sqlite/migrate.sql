-- name: lock_migrations
-- BEGIN IMMEDIATE is lock enough.
SELECT 1

-- name: in_use
-- A row unless runwrap has just made the file: then its table is no surprise.
SELECT 'true' FROM sqlite_schema LIMIT 1

-- name: catalog
-- One row per column of the user's table; a single row without a column if the table is missing. $1: the table's name.
SELECT
    'main',
    'readable',
    (SELECT name FROM sqlite_schema WHERE name = 'runwrap_migrations'),
    (SELECT name FROM sqlite_schema WHERE name = 'runwrap_versions'),
    shown.name,
    shown.type,
    NULL,
    iif(shown.dflt_value IS NOT NULL OR (shown.pk = 1 AND upper(shown.type) = 'INTEGER'), 'true', 'false'),
    iif(shown.hidden > 1, 'true', 'false')
FROM (SELECT 1) AS one
LEFT JOIN pragma_table_xinfo($1) AS shown ON shown.hidden <> 1
ORDER BY shown.cid

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
