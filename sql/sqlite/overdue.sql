-- The runs whose lease has run out. Whoever acts on it judges again in the statement that writes.
SELECT run_id
FROM {runs}
WHERE record_table = {record_table}
    AND reason IS NULL
    AND strftime('%Y-%m-%d %H:%M:%f', 'now')
        > strftime('%Y-%m-%d %H:%M:%f', heartbeat_at, '+' || lease_seconds || ' seconds')
ORDER BY run_id
