-- The runs whose lease has run out. Whoever acts on it judges again in the statement that writes.
SELECT run_id
-- The planner would take any index that begins with the table's name: all runs have it.
FROM {runs} INDEXED BY runwrap_runs_live
WHERE record_table = {record_table}
    AND reason IS NULL
    AND strftime('%Y-%m-%d %H:%M:%f', 'now')
        > strftime('%Y-%m-%d %H:%M:%f', heartbeat_at, '+' || lease_seconds || ' seconds')
ORDER BY run_id
