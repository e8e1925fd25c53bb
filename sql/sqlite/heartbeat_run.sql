UPDATE {runs}
SET
    pid = COALESCE(:pid, pid),
    stop_signal = COALESCE(:stop_signal, stop_signal),
    heartbeat_at = strftime('%Y-%m-%d %H:%M:%f', 'now'),
    last_seen_at = max(last_seen_at, COALESCE(:seen_at, last_seen_at)),
    reason = NULL,
    presumed = FALSE,
    recovered_at = NULL,
    recovered_by = NULL
WHERE run_id = :run_id AND (reason IS NULL OR presumed)
