-- One record by the id of its run.
SELECT
    record.*,
    {run_columns},
    (julianday('now') - julianday(run.heartbeat_at)) * 86400
FROM {runs} AS run
JOIN {table} AS record ON record.id = run.record_id
WHERE run.record_table = {record_table} AND run.run_id = :id
