-- An operator says how a record ended. What is truth already stays, save by force. An end before the start, or one to
-- come, is none.
UPDATE {table} AS record
SET
    train_end_time = COALESCE(ruled.ended_at, record.train_end_time), -- when: train_end_time
    train_duration = COALESCE(runwrap_elapsed_seconds(ruled.started_at, ruled.ended_at), record.train_duration), -- when: train_duration
    train_metrics = runwrap_merge_metrics(record.train_metrics, :metrics), -- when: train_metrics
    model_path = COALESCE(:model_path, record.model_path), -- when: model_path
    error_message = CASE -- when: error_message
        WHEN :explanation IS NOT NULL THEN :explanation -- when: error_message
        WHEN :status = 'completed' THEN NULL -- when: error_message
        WHEN ruled.presumed OR record.error_message IS NULL THEN :message -- when: error_message
        ELSE record.error_message -- when: error_message
    END, -- when: error_message
    status = :status
FROM (
    SELECT
        found.id,
        found.started_at,
        COALESCE(:ended_at, CASE WHEN found.ended_at IS NULL THEN run.last_seen_at END) AS ended_at,
        COALESCE(run.presumed, FALSE) AS presumed
    FROM (
        SELECT
            record.id,
            record.status,
            {train_start_time.instant} AS started_at,
            {train_end_time.instant} AS ended_at
        FROM {table} AS record
        WHERE record.id = :record_id
    ) AS found
    LEFT JOIN {runs} AS run ON run.run_id = (
        SELECT max(last.run_id)
        FROM {runs} AS last
        WHERE last.record_table = {record_table} AND last.record_id = :record_id
    )
    WHERE (:forced OR found.status = 'training' OR (run.presumed AND found.status = 'failed'))
        AND (:ended_at IS NULL OR :ended_at <= strftime('%Y-%m-%d %H:%M:%f', 'now', '+{ahead_seconds} seconds'))
        AND (:ended_at IS NULL OR found.started_at IS NULL OR :ended_at >= found.started_at)
) AS ruled
WHERE record.id = ruled.id
