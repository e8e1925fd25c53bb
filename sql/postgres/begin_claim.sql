-- The key makes a second delivery of the same run wait here until the first has ended.
-- $1: the facts of the run, as JSON.
INSERT INTO {runs} (
    run_id,
    record_table,
    name,
    command,
    cwd,
    host,
    username,
    context,
    last_seen_at,
    lease_seconds,
    runwrap_version
)
SELECT
    run_id,
    {record_table},
    name,
    command,
    cwd,
    host,
    username,
    context,
    last_seen_at,
    lease_seconds,
    runwrap_version
FROM json_to_record(CAST($1 AS json)) AS given (
    run_id uuid,
    name text,
    command jsonb,
    cwd text,
    host text,
    username text,
    context jsonb,
    last_seen_at timestamptz,
    lease_seconds bigint,
    runwrap_version text
)
ON CONFLICT (run_id) DO NOTHING
