-- Why a record says what was decided, and by whom: in the last run that describes it, or in a row of its own.
INSERT INTO {runs} (
    run_id,
    record_table,
    record_id,
    heartbeat_at,
    reason,
    presumed,
    recovered_at,
    recovered_by,
    context,
    runwrap_version
)
VALUES (
    COALESCE(
        (
            SELECT max(run_id)
            FROM {runs}
            WHERE record_table = {record_table} AND record_id = :record_id
        ),
        :run_id
    ),
    {record_table},
    :record_id,
    NULL,
    :reason,
    :presumed,
    strftime('%Y-%m-%d %H:%M:%f', 'now'),
    :recovered_by,
    :context,
    :runwrap_version
)
ON CONFLICT (run_id) DO UPDATE
SET
    reason = excluded.reason,
    presumed = excluded.presumed,
    recovered_at = excluded.recovered_at,
    recovered_by = excluded.recovered_by,
    context = COALESCE(excluded.context, context)
