-- One row per run. It is narrow, and a heartbeat changes none of its indexed columns, so that PostgreSQL can
-- write the new version into the same page without touching an index (HOT).

CREATE TABLE IF NOT EXISTS {schema}.runwrap_migrations (
    number integer PRIMARY KEY,
    -- A program that does not know a breaking migration stops instead of damaging the tables.
    breaking boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Every role may read the applied migrations: a run without other rights sees that the schema is complete.
GRANT SELECT ON {schema}.runwrap_migrations TO PUBLIC;

CREATE TABLE {schema}.runwrap_runs (
    run_id uuid PRIMARY KEY,
    -- The table of the user's that record_id is in: several may share this one.
    record_table text NOT NULL,
    -- As text, since the user's id may be of any type. NULL only inside the transaction that begins the run.
    record_id text,
    -- The version of the row at the begin of the run: a deleted row is inserted again with it.
    record_version text,
    name text NOT NULL,
    command jsonb NOT NULL,
    cwd text NOT NULL,
    host text NOT NULL,
    username text NOT NULL,
    pid integer,
    context jsonb NOT NULL,
    -- NULL while no end is known.
    reason text,
    exit_code integer,
    signal text,
    stop_signal text,
    -- The last sign of life by the clock of this database: what a lease is judged by.
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The last sign of life by the clock of the run: what a presumed end is.
    last_seen_at timestamptz NOT NULL,
    lease_seconds bigint NOT NULL,
    presumed boolean NOT NULL DEFAULT FALSE,
    cpu_user_seconds double precision,
    cpu_system_seconds double precision,
    max_rss_bytes bigint,
    recovered_at timestamptz,
    recovered_by text,
    runwrap_version text NOT NULL,
    CONSTRAINT only_an_ended_run_is_presumed CHECK (NOT presumed OR reason IS NOT NULL),
    CONSTRAINT only_an_ended_run_has_an_exit_code_or_signal CHECK (reason IS NOT NULL OR (exit_code IS NULL AND signal IS NULL)),
    CONSTRAINT a_lease_is_not_negative CHECK (lease_seconds >= 0)
) WITH (fillfactor = 50);

CREATE INDEX runwrap_runs_live ON {schema}.runwrap_runs (record_table, record_id) WHERE reason IS NULL;
CREATE INDEX runwrap_runs_record ON {schema}.runwrap_runs (record_id, record_table);
CREATE INDEX runwrap_runs_name ON {schema}.runwrap_runs (name, record_table);
