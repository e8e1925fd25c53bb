-- A record that no run ever watched can be decided about, too, by `recover --stuck-after` or an operator. Its row here
-- says by whom and why; of a run that never was there is nothing to say. SQLite cannot take a NOT NULL back, so the table
-- is made anew.

CREATE TABLE runwrap_runs_new (
    run_id TEXT PRIMARY KEY NOT NULL,
    -- The table of the user's that record_id is in: several may share this one.
    record_table TEXT NOT NULL,
    -- As text, since the user's id may be of any type. NULL only inside the transaction that begins the run.
    record_id TEXT,
    -- The version of the row at the begin of the run: a deleted row is inserted again with it.
    record_version TEXT,
    name TEXT,
    command TEXT,
    cwd TEXT,
    host TEXT,
    username TEXT,
    pid INTEGER,
    context TEXT,
    -- NULL while no end is known.
    reason TEXT,
    exit_code INTEGER,
    signal TEXT,
    stop_signal TEXT,
    -- The last sign of life by the clock of the database: what a lease is judged by.
    heartbeat_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    -- The last sign of life by the clock of the run: what a presumed end is.
    last_seen_at TEXT,
    lease_seconds INTEGER,
    presumed INTEGER NOT NULL DEFAULT FALSE,
    cpu_user_seconds REAL,
    cpu_system_seconds REAL,
    max_rss_bytes INTEGER,
    recovered_at TEXT,
    recovered_by TEXT,
    runwrap_version TEXT NOT NULL,
    CONSTRAINT only_an_ended_run_is_presumed CHECK (NOT presumed OR reason IS NOT NULL),
    CONSTRAINT only_an_ended_run_has_an_exit_code_or_signal CHECK (reason IS NOT NULL OR (exit_code IS NULL AND signal IS NULL)),
    CONSTRAINT a_lease_is_not_negative CHECK (lease_seconds >= 0)
);

INSERT INTO runwrap_runs_new SELECT * FROM runwrap_runs;
DROP TABLE runwrap_runs;
ALTER TABLE runwrap_runs_new RENAME TO runwrap_runs;

CREATE INDEX runwrap_runs_live ON runwrap_runs (record_table, record_id) WHERE reason IS NULL;
CREATE INDEX runwrap_runs_record ON runwrap_runs (record_id, record_table);
CREATE INDEX runwrap_runs_name ON runwrap_runs (name, record_table);
