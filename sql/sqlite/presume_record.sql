-- Somebody else concludes that a run is lost. The database is no server that could have been down meanwhile: its
-- clock alone judges the lease.
UPDATE {table} AS record
SET
    train_end_time = run.ended_at, -- when: train_end_time
    train_duration = runwrap_elapsed_seconds(record.train_start_time, run.ended_at), -- when: train_duration.known
    error_message = COALESCE(record.error_message || '; ', '') || :message, -- when: error_message
    status = 'failed'
FROM (
    SELECT
        record_id,
        max(last_seen_at, COALESCE(:seen_at, last_seen_at)) AS ended_at
    FROM {runs}
    WHERE run_id = :run_id
        AND record_table = {record_table}
        AND reason IS NULL
        AND (
            :proven
            OR strftime('%Y-%m-%d %H:%M:%f', 'now')
                > strftime('%Y-%m-%d %H:%M:%f', heartbeat_at, '+' || lease_seconds || ' seconds')
        )
) AS run
WHERE record.id = run.record_id
    AND record.status = 'training'
