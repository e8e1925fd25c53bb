-- The runs whose lease has run out. A server that has been up for less than the lease saw no heartbeat because it was
-- down itself. Whoever acts on it judges again in the statement that writes.
SELECT CAST(run_id AS text)
FROM {runs}
WHERE record_table = {record_table}
    AND reason IS NULL
    AND clock_timestamp() > heartbeat_at + make_interval(secs => lease_seconds)
    AND clock_timestamp() >= pg_postmaster_start_time() + make_interval(secs => lease_seconds)
ORDER BY run_id
