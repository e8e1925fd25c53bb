-- The key makes a second beginning of the same run find the first.
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
VALUES (
    :run_id,
    {record_table},
    :name,
    :command,
    :cwd,
    :host,
    :username,
    :context,
    :last_seen_at,
    :lease_seconds,
    :runwrap_version
)
ON CONFLICT (run_id) DO NOTHING
