-- The run is tied to its row, in the table that was asked for this time, and knows what it saw of the others. The key makes
-- a second beginning of the same run find the first.
INSERT INTO {runs} (
    run_id,
    record_table,
    record_id,
    record_version,
    name,
    command,
    cwd,
    host,
    username,
    context,
    last_seen_at,
    lease_seconds,
    runwrap_version,
    counted_until,
    counted_number,
    counted_id
)
VALUES (
    :run_id,
    {record_table},
    :record_id,
    :record_version,
    :name,
    :command,
    :cwd,
    :host,
    :username,
    :context,
    :last_seen_at,
    :lease_seconds,
    :runwrap_version,
    :counted_until,
    :counted_number,
    :counted_id
)
ON CONFLICT (run_id) DO UPDATE SET
    record_table = excluded.record_table,
    record_id = excluded.record_id,
    record_version = excluded.record_version,
    counted_until = COALESCE(
        excluded.counted_until, CASE WHEN record_table = excluded.record_table THEN counted_until END
    ),
    counted_number = COALESCE(
        excluded.counted_number, CASE WHEN record_table = excluded.record_table THEN counted_number END
    ),
    counted_id = COALESCE(
        excluded.counted_id, CASE WHEN record_table = excluded.record_table THEN counted_id END
    )
