-- The newest records, each with the last run that described it. Those of a name are found by their runs, where the ids
-- are integers.
SELECT
    record.*,
    {run_columns},
    (julianday('now') - julianday(run.heartbeat_at)) * 86400
FROM {table} AS record -- when: list.all
FROM {runs} AS named -- when: list.named
JOIN {table} AS record ON record.id = CAST(named.record_id AS INTEGER) -- when: list.named
LEFT JOIN {runs} AS run ON run.run_id = (
    SELECT max(last.run_id)
    FROM {runs} AS last
    WHERE last.record_table = {record_table} AND last.record_id = CAST(record.id AS TEXT)
)
WHERE TRUE
    AND record.status = :status -- when: list.status
    AND (:name IS NULL OR run.name = :name) -- when: list.all
    AND named.record_table = {record_table} -- when: list.named
    AND named.name = :name -- when: list.named
    AND named.run_id = run.run_id -- when: list.named
ORDER BY
    record.train_start_time DESC NULLS LAST, -- when: id.unordered
    record.id DESC -- when: list.all
    CAST(named.record_id AS INTEGER) DESC -- when: list.named
LIMIT :limit
