-- Why a record says what was decided, and by whom: in the last run that describes it, or in a row of its own.
-- $1: the record. $2: the decision, as JSON. Both are locked already.
WITH given AS (
    SELECT *
    FROM json_to_record(CAST($2 AS json)) AS given (
        run_id uuid,
        reason text,
        presumed boolean,
        recovered_by text,
        context jsonb,
        runwrap_version text
    )
)
INSERT INTO {runs} AS runs (
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
SELECT
    COALESCE(
        (
            SELECT run_id
            FROM {runs}
            WHERE record_table = {record_table} AND record_id = $1
            ORDER BY run_id DESC
            LIMIT 1
        ),
        given.run_id
    ),
    {record_table},
    $1,
    NULL,
    given.reason,
    given.presumed,
    clock_timestamp(),
    given.recovered_by,
    given.context,
    given.runwrap_version
FROM given
ON CONFLICT (run_id) DO UPDATE
SET
    reason = excluded.reason,
    presumed = excluded.presumed,
    recovered_at = excluded.recovered_at,
    recovered_by = excluded.recovered_by,
    context = COALESCE(excluded.context, runs.context)
