-- What a record that has ended says too little or wrongly, and what follows from the rest of it: the end from start and
-- duration, or the duration from start and end. $1: the record. $2: nothing, as JSON. Locked already.
WITH given AS (
    SELECT CAST($2 AS json)
),
read AS (
    SELECT
        record.id,
        {train_start_time.instant} AS started_at,
        {train_end_time.instant} AS ended_at,
        {train_duration.seconds} AS seconds
    FROM {table} AS record
    CROSS JOIN given
    WHERE record.id = CAST($1 AS {id.type})
        AND CAST(record.status AS text) IN ('completed', 'failed')
),
-- After the year 9999 nobody else can read it, and long after that there is no time.
found AS (
    SELECT
        read.*,
        CASE
            WHEN read.started_at < timestamptz '10000-01-01 00:00:00Z' AND read.seconds BETWEEN 0 AND 1e12
            THEN read.started_at + make_interval(secs => read.seconds)
        END AS derived_at
    FROM read
),
ruled AS (
    SELECT
        found.id,
        found.started_at,
        COALESCE(found.ended_at, found.derived_at) AS ended_at,
        found.ended_at IS NULL AS ends
    FROM found
    WHERE found.started_at IS NOT NULL
        AND (
            FALSE
            OR (found.ended_at IS NULL AND found.derived_at < timestamptz '10000-01-01 00:00:00Z') -- when: train_end_time
            OR (found.ended_at >= found.started_at AND found.seconds IS NULL) -- when: train_duration
            OR (found.ended_at >= found.started_at AND abs(found.seconds - EXTRACT(EPOCH FROM found.ended_at - found.started_at)) > 1) -- when: train_duration
        )
)
UPDATE {table} AS record
SET
    train_end_time = CASE WHEN ruled.ends THEN {ended_at} ELSE record.train_end_time END, -- when: train_end_time
    train_duration = CASE WHEN ruled.ends THEN record.train_duration ELSE {elapsed} END, -- when: train_duration
    status = record.status
FROM ruled
WHERE record.id = ruled.id
    AND (NOT ruled.ends OR record.train_end_time IS NULL) -- when: train_end_time
    AND (ruled.ends OR record.train_duration IS NULL OR {train_duration.seconds} IS NOT NULL) -- when: train_duration
RETURNING CAST(record.id AS text)
