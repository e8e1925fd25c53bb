-- A sign of life. $1: the run. $2: what is known of it by now, as JSON.
WITH given AS (
    SELECT *
    FROM json_to_record(CAST($2 AS json)) AS given (
        started_at text,
        seen_at timestamptz,
        pid integer,
        stop_signal text,
        metrics json,
        model_path text,
        error text
    )
),
-- Locked already, by lock_run.sql.
run AS (
    SELECT
        run_id,
        record_id,
        reason IS NULL OR presumed AS writable,
        presumed
    FROM {runs}
    WHERE run_id = CAST($1 AS uuid) AND record_table = {record_table}
),
found AS (
    SELECT run.writable
    FROM run
    JOIN {table} AS record ON record.id = CAST(run.record_id AS {id.type})
),
-- The user's row is written only where there is something new to say, and only while it is runwrap's to write.
told AS (
    UPDATE {table} AS record
    SET
        train_start_time = COALESCE(CAST(given.started_at AS {train_start_time.type}), record.train_start_time), -- when: train_start_time
        train_end_time = CASE WHEN run.presumed THEN NULL ELSE record.train_end_time END, -- when: train_end_time
        train_duration = CASE WHEN run.presumed THEN NULL ELSE record.train_duration END, -- when: train_duration
        train_metrics = CASE WHEN given.metrics IS NULL THEN record.train_metrics ELSE {train_metrics.merged} END, -- when: train_metrics
        model_path = COALESCE(CAST(given.model_path AS {model_path.type}), record.model_path), -- when: model_path
        error_message = COALESCE(CAST(given.error AS {error_message.type}), CASE WHEN run.presumed THEN NULL ELSE record.error_message END), -- when: error_message
        status = CAST('training' AS {status.type})
    FROM run, given
    WHERE record.id = CAST(run.record_id AS {id.type})
        AND run.writable
        AND (CAST(record.status AS text) = 'training' OR (run.presumed AND CAST(record.status AS text) = 'failed'))
        AND (
            run.presumed
            OR COALESCE(CAST(given.started_at AS {train_start_time.type}), record.train_start_time) IS DISTINCT FROM record.train_start_time -- when: train_start_time
            OR (given.metrics IS NOT NULL AND CAST({train_metrics.merged} AS {train_metrics.compared}) IS DISTINCT FROM CAST(record.train_metrics AS {train_metrics.compared})) -- when: train_metrics
            OR CAST(COALESCE(given.model_path, CAST(record.model_path AS text)) AS text) IS DISTINCT FROM CAST(record.model_path AS text) -- when: model_path
            OR CAST(COALESCE(given.error, CAST(record.error_message AS text)) AS text) IS DISTINCT FROM CAST(record.error_message AS text) -- when: error_message
        )
    RETURNING record.id
),
written AS (
    UPDATE {runs} AS runs
    SET
        pid = COALESCE(given.pid, runs.pid),
        stop_signal = COALESCE(given.stop_signal, runs.stop_signal),
        heartbeat_at = clock_timestamp(),
        last_seen_at = GREATEST(runs.last_seen_at, given.seen_at),
        reason = NULL,
        presumed = FALSE,
        recovered_at = NULL,
        recovered_by = NULL
    FROM run, given
    WHERE runs.run_id = run.run_id
        AND run.writable
        AND EXISTS (SELECT FROM found)
    RETURNING runs.run_id
)
SELECT CASE
    WHEN EXISTS (SELECT FROM written) THEN 'written'
    WHEN EXISTS (SELECT FROM found) THEN 'kept'
    ELSE 'missing'
END
