-- Somebody else concludes that a run is lost. $1: the run. $2: why and by whom, as JSON.
WITH given AS (
    SELECT *
    FROM json_to_record(CAST($2 AS json)) AS given (
        proven boolean,
        seen_at timestamptz,
        recovered_by text,
        message text
    )
),
-- Locked already, by lock_run.sql: a heartbeat that arrives now waits, and one that has just arrived is seen here.
run AS (
    SELECT
        run_id,
        record_id,
        reason IS NULL AS open,
        heartbeat_at,
        make_interval(secs => lease_seconds) AS lease,
        last_seen_at
    FROM {runs}
    WHERE run_id = CAST($1 AS uuid) AND record_table = {record_table}
),
found AS (
    SELECT run.run_id
    FROM run
    JOIN {table} AS record ON record.id = CAST(run.record_id AS {id.type})
),
-- A server that has been up for less than the lease has seen no heartbeat because it was down itself.
overdue AS (
    SELECT
        run.run_id,
        run.record_id,
        GREATEST(run.last_seen_at, given.seen_at) AS ended_at
    FROM run, given
    WHERE run.open
        AND (
            given.proven
            OR (
                clock_timestamp() > run.heartbeat_at + run.lease
                AND clock_timestamp() >= pg_postmaster_start_time() + run.lease
            )
        )
),
closed AS (
    UPDATE {table} AS record
    SET
        train_end_time = CAST(to_char(overdue.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS {train_end_time.type}), -- when: train_end_time
        train_duration = CASE WHEN record.train_start_time IS NOT NULL THEN CAST(CAST(GREATEST(CAST(trunc(EXTRACT(EPOCH FROM overdue.ended_at - CAST(record.train_start_time AS timestamptz))) AS bigint), 0) AS text) AS {train_duration.type}) END, -- when: train_duration.known
        error_message = CAST(left(COALESCE(CAST(record.error_message AS text) || '; ', '') || given.message, {error_message.length}) AS {error_message.type}), -- when: error_message
        status = CAST('failed' AS {status.type})
    FROM overdue, given
    WHERE record.id = CAST(overdue.record_id AS {id.type})
        AND CAST(record.status AS text) = 'training'
    RETURNING overdue.run_id, overdue.ended_at
),
written AS (
    UPDATE {runs} AS runs
    SET
        reason = 'lost',
        presumed = TRUE,
        last_seen_at = closed.ended_at,
        recovered_at = clock_timestamp(),
        recovered_by = given.recovered_by
    FROM closed, given
    WHERE runs.run_id = closed.run_id
    RETURNING runs.run_id
)
SELECT CASE
    WHEN EXISTS (SELECT FROM written) THEN 'written'
    WHEN EXISTS (SELECT FROM found) THEN 'kept'
    ELSE 'missing'
END
