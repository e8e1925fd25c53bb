-- An operator says how a record ended. $1: the record. $2: what was said, as JSON. Locked already.
WITH given AS (
    SELECT *
    FROM json_to_record(CAST($2 AS json)) AS given (
        status text,
        ended_at timestamptz,
        explanation text,
        message text,
        metrics json,
        model_path text,
        forced boolean
    )
),
run AS (
    SELECT
        presumed,
        last_seen_at
    FROM {runs}
    WHERE record_table = {record_table} AND record_id = $1
    ORDER BY run_id DESC
    LIMIT 1
),
found AS (
    SELECT
        record.id,
        CAST(record.status AS text) AS status,
        {train_start_time.instant} AS started_at,
        {train_end_time.instant} AS ended_at
    FROM {table} AS record
    WHERE record.id = CAST($1 AS {id.type})
),
-- What is truth already stays, save by force. An end before the start, or one to come, is none.
ruled AS (
    SELECT
        found.id,
        found.started_at,
        COALESCE(given.ended_at, CASE WHEN found.ended_at IS NULL THEN run.last_seen_at END) AS ended_at,
        COALESCE(run.presumed, FALSE) AS presumed
    FROM given
    CROSS JOIN found
    LEFT JOIN run ON TRUE
    WHERE (given.forced OR found.status = 'training' OR (run.presumed AND found.status = 'failed'))
        AND (given.ended_at IS NULL OR given.ended_at <= clock_timestamp() + make_interval(secs => {ahead_seconds}))
        AND (given.ended_at IS NULL OR found.started_at IS NULL OR given.ended_at >= found.started_at)
)
UPDATE {table} AS record
SET
    train_end_time = CASE WHEN ruled.ended_at IS NULL THEN record.train_end_time ELSE {ended_at} END, -- when: train_end_time
    train_duration = CASE WHEN ruled.ended_at IS NULL OR ruled.started_at IS NULL THEN record.train_duration ELSE {elapsed} END, -- when: train_duration
    train_metrics = CASE WHEN given.metrics IS NULL THEN record.train_metrics ELSE {train_metrics.merged} END, -- when: train_metrics
    model_path = COALESCE(CAST(given.model_path AS {model_path.type}), record.model_path), -- when: model_path
    error_message = CASE -- when: error_message
        WHEN given.explanation IS NOT NULL THEN CAST(given.explanation AS {error_message.type}) -- when: error_message
        WHEN given.status = 'completed' THEN NULL -- when: error_message
        WHEN ruled.presumed OR record.error_message IS NULL THEN CAST(given.message AS {error_message.type}) -- when: error_message
        ELSE record.error_message -- when: error_message
    END, -- when: error_message
    status = CAST(given.status AS {status.type})
FROM ruled, given
WHERE record.id = ruled.id
RETURNING CAST(record.id AS text)
