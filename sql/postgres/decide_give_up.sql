-- A record that has been in training for too long without a sign of life, and that nothing watches.
-- $1: the record. $2: how long, and what is said of it, as JSON. Locked already.
WITH given AS (
    SELECT *
    FROM json_to_record(CAST($2 AS json)) AS given (
        silent_seconds bigint,
        model_written_at timestamptz,
        assume_now boolean,
        known text,
        assumed text,
        unknown text
    )
),
moment AS MATERIALIZED (
    SELECT clock_timestamp() AS now
),
found AS (
    SELECT
        record.id,
        {train_start_time.instant} AS started_at,
        {train_end_time.instant} AS ended_at,
        {updated_at.instant} AS updated_at,
        GREATEST({train_start_time.instant}, {created_at.instant}) AS born_at
    FROM {table} AS record
    WHERE record.id = CAST($1 AS {id.type})
        AND CAST(record.status AS text) = 'training'
        -- What was given up once, and the application has opened again, may be given up again.
        AND NOT EXISTS (
            SELECT
            FROM {runs} AS runs
            WHERE runs.record_table = {record_table}
                AND runs.record_id = $1
                AND runs.reason IS DISTINCT FROM 'stuck'
        )
),
-- What is as old as the row itself says nothing of how long it lived, and what is to come is no sign.
proven AS (
    SELECT
        found.id,
        found.started_at,
        COALESCE(
            found.ended_at,
            GREATEST(
                CASE
                    WHEN found.updated_at <= moment.now
                        AND (found.born_at IS NULL OR found.updated_at >= found.born_at + interval '1 second')
                    THEN found.updated_at
                END,
                CASE
                    WHEN given.model_written_at <= moment.now
                        AND (found.born_at IS NULL OR given.model_written_at >= found.born_at + interval '1 second')
                    THEN given.model_written_at
                END
            )
        ) AS known_at
    FROM found, given, moment
    WHERE moment.now > GREATEST(found.born_at, found.updated_at) + make_interval(secs => given.silent_seconds)
),
ruled AS (
    SELECT
        proven.id,
        proven.started_at,
        proven.known_at,
        COALESCE(proven.known_at, CASE WHEN given.assume_now THEN moment.now END) AS ended_at
    FROM proven, given, moment
)
UPDATE {table} AS record
SET
    train_end_time = CASE WHEN ruled.ended_at IS NULL THEN record.train_end_time ELSE {ended_at} END, -- when: train_end_time
    train_duration = CASE WHEN ruled.ended_at IS NULL OR ruled.started_at IS NULL THEN record.train_duration ELSE {elapsed} END, -- when: train_duration
    error_message = CAST(left( -- when: error_message
        COALESCE(CAST(record.error_message AS text) || '; ', '') -- when: error_message
            || CASE WHEN ruled.known_at IS NOT NULL THEN given.known WHEN ruled.ended_at IS NOT NULL THEN given.assumed ELSE given.unknown END, -- when: error_message
        {error_message.length} -- when: error_message
    ) AS {error_message.type}), -- when: error_message
    status = CAST('failed' AS {status.type})
FROM ruled, given
WHERE record.id = ruled.id
    AND CAST(record.status AS text) = 'training'
RETURNING CAST(record.id AS text)
