UPDATE {runs}
SET
    reason = 'lost',
    presumed = TRUE,
    last_seen_at = max(last_seen_at, COALESCE(:seen_at, last_seen_at)),
    recovered_at = strftime('%Y-%m-%d %H:%M:%f', 'now'),
    recovered_by = :recovered_by
WHERE run_id = :run_id AND reason IS NULL
