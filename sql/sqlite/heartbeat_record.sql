-- The user's row is written only where there is something new to say, and only while it is runwrap's to write.
UPDATE {table} AS record
SET
    train_start_time = COALESCE(:started_at, record.train_start_time), -- when: train_start_time
    train_end_time = CASE WHEN run.presumed THEN NULL ELSE record.train_end_time END, -- when: train_end_time
    train_duration = CASE WHEN run.presumed THEN NULL ELSE record.train_duration END, -- when: train_duration
    train_metrics = runwrap_merge_metrics(record.train_metrics, :metrics), -- when: train_metrics
    model_path = COALESCE(:model_path, record.model_path), -- when: model_path
    error_message = COALESCE(:error, CASE WHEN run.presumed THEN NULL ELSE record.error_message END), -- when: error_message
    status = 'training'
FROM (
    SELECT
        record_id,
        presumed
    FROM {runs}
    WHERE run_id = :run_id AND record_table = {record_table} AND (reason IS NULL OR presumed)
) AS run
WHERE record.id = run.record_id
    AND (record.status = 'training' OR (run.presumed AND record.status = 'failed'))
    AND (
        run.presumed
        OR COALESCE(:started_at, record.train_start_time) IS NOT record.train_start_time -- when: train_start_time
        OR runwrap_merge_metrics(record.train_metrics, :metrics) IS NOT record.train_metrics -- when: train_metrics
        OR COALESCE(:model_path, record.model_path) IS NOT record.model_path -- when: model_path
        OR COALESCE(:error, record.error_message) IS NOT record.error_message -- when: error_message
    )
