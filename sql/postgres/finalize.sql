-- The end of a run as its own journal tells it. $1: the run. $2: what is known of it and how it ended, as JSON.
WITH given AS (
    SELECT *
    FROM json_to_record(CAST($2 AS json)) AS given (
        started_at text,
        seen_at timestamptz,
        pid integer,
        stop_signal text,
        metrics json,
        model_path text,
        status text,
        reason text,
        ended_at text,
        duration_seconds text,
        exit_code integer,
        signal text,
        error_message text,
        cpu_user_seconds double precision,
        cpu_system_seconds double precision,
        max_rss_bytes bigint
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
-- A row that the application or a person has closed meanwhile stands as it is.
told AS (
    UPDATE {table} AS record
    SET
        train_start_time = COALESCE(CAST(given.started_at AS {train_start_time.type}), record.train_start_time), -- when: train_start_time
        train_end_time = CAST(given.ended_at AS {train_end_time.type}), -- when: train_end_time
        train_duration = CAST(given.duration_seconds AS {train_duration.type}), -- when: train_duration
        train_metrics = CASE WHEN given.metrics IS NULL THEN record.train_metrics ELSE {train_metrics.merged} END, -- when: train_metrics
        model_path = COALESCE(CAST(given.model_path AS {model_path.type}), record.model_path), -- when: model_path
        error_message = COALESCE(CAST(given.error_message AS {error_message.type}), CASE WHEN run.presumed THEN NULL ELSE record.error_message END), -- when: error_message
        status = CAST(given.status AS {status.type})
    FROM run, given
    WHERE record.id = CAST(run.record_id AS {id.type})
        AND run.writable
        AND (CAST(record.status AS text) = 'training' OR (run.presumed AND CAST(record.status AS text) = 'failed'))
    RETURNING record.id
),
written AS (
    UPDATE {runs} AS runs
    SET
        pid = COALESCE(given.pid, runs.pid),
        reason = given.reason,
        exit_code = given.exit_code,
        signal = given.signal,
        stop_signal = COALESCE(given.stop_signal, runs.stop_signal),
        last_seen_at = GREATEST(runs.last_seen_at, given.seen_at),
        presumed = FALSE,
        cpu_user_seconds = given.cpu_user_seconds,
        cpu_system_seconds = given.cpu_system_seconds,
        max_rss_bytes = given.max_rss_bytes,
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
