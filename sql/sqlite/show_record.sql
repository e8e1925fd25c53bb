-- One record by its id, with the last run that described it.
SELECT
    record.*,
    {run_columns},
    (julianday('now') - julianday(run.heartbeat_at)) * 86400
FROM {table} AS record
LEFT JOIN {runs} AS run ON run.run_id = (
    SELECT max(last.run_id)
    FROM {runs} AS last
    WHERE last.record_table = {record_table} AND last.record_id = CAST(record.id AS TEXT)
)
WHERE record.id = :id
