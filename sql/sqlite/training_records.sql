-- The user's table, made only where there is none.
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
    -- Only to be found by: they come with the table, and no table of the user's own making gets an index.
    UNIQUE (status, id),
    UNIQUE (model_path, id),
    CONSTRAINT status_is_training_completed_or_failed CHECK (status IN ('training', 'completed', 'failed'))
);
