UPDATE {runs}
SET
    pid = COALESCE(:pid, pid),
    reason = :reason,
    exit_code = :exit_code,
    signal = :signal,
    stop_signal = COALESCE(:stop_signal, stop_signal),
    last_seen_at = max(last_seen_at, COALESCE(:seen_at, last_seen_at)),
    presumed = FALSE,
    cpu_user_seconds = :cpu_user_seconds,
    cpu_system_seconds = :cpu_system_seconds,
    max_rss_bytes = :max_rss_bytes,
    recovered_at = NULL,
    recovered_by = NULL
WHERE run_id = :run_id AND (reason IS NULL OR presumed)
