-- The newest records, each with the last run that described it.
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
WHERE (:status IS NULL OR record.status = :status)
    AND (:name IS NULL OR run.name = :name)
ORDER BY
    record.train_start_time DESC NULLS LAST, -- when: id.unordered
    record.id DESC
LIMIT :limit
