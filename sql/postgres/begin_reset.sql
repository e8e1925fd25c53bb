-- The row of the user's table has come back as it was at the beginning, and so does the run's: an end that was written
-- into the lost row must be written again. What it had counted may have gone with its row.
UPDATE {runs}
SET
    pid = NULL,
    reason = NULL,
    exit_code = NULL,
    signal = NULL,
    stop_signal = NULL,
    heartbeat_at = clock_timestamp(),
    last_seen_at = CAST($2 AS timestamptz),
    presumed = FALSE,
    cpu_user_seconds = NULL,
    cpu_system_seconds = NULL,
    max_rss_bytes = NULL,
    recovered_at = NULL,
    recovered_by = NULL,
    counted_until = NULL,
    counted_number = NULL,
    counted_id = NULL
WHERE run_id = CAST($1 AS uuid)
