-- A row that the application or a person has closed meanwhile stands as it is.
UPDATE {table} AS record
SET
    train_start_time = COALESCE(:started_at, record.train_start_time), -- when: train_start_time
    train_end_time = :ended_at, -- when: train_end_time
    train_duration = :duration_seconds, -- when: train_duration
    train_metrics = runwrap_merge_metrics(record.train_metrics, :metrics), -- when: train_metrics
    model_path = COALESCE(:model_path, record.model_path), -- when: model_path
    error_message = COALESCE(:error_message, CASE WHEN run.presumed THEN NULL ELSE record.error_message END), -- when: error_message
    status = :status
FROM (
    SELECT
        record_id,
        presumed
    FROM {runs}
    WHERE run_id = :run_id AND record_table = {record_table} AND (reason IS NULL OR presumed)
) AS run
WHERE record.id = run.record_id
    AND (record.status = 'training' OR (run.presumed AND record.status = 'failed'))
