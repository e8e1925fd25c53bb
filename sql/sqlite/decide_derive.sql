-- What a record that has ended says too little or wrongly, and what follows from the rest of it: the end from start and
-- duration, or the duration from start and end.
UPDATE {table} AS record
SET
    train_end_time = CASE WHEN record.train_end_time IS NULL THEN runwrap_after(ruled.started_at, record.train_duration) ELSE record.train_end_time END, -- when: duration.known
    train_duration = CASE WHEN record.train_end_time IS NULL THEN record.train_duration ELSE runwrap_elapsed_seconds(ruled.started_at, ruled.ended_at) END, -- when: duration.known
    status = record.status
FROM (
    SELECT
        record.id,
        {train_start_time.instant} AS started_at,
        {train_end_time.instant} AS ended_at
    FROM {table} AS record
    WHERE record.id = :record_id
        AND record.status IN ('completed', 'failed')
) AS ruled
WHERE record.id = ruled.id
    AND (
        FALSE
        OR (record.train_end_time IS NULL AND runwrap_after(ruled.started_at, record.train_duration) IS NOT NULL) -- when: duration.known
        OR (record.train_duration IS NULL AND ruled.ended_at >= ruled.started_at) -- when: duration.known
        OR (ruled.ended_at >= ruled.started_at AND runwrap_is_off(ruled.started_at, ruled.ended_at, record.train_duration)) -- when: duration.known
    )
