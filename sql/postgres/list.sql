-- The newest records, each with the last run that described it. $1: a status or NULL. $2: a name or NULL. $3: how many.
SELECT
    CAST(row_to_json(record.*) AS text),
    CAST(row_to_json(run.*) AS text),
    CAST(EXTRACT(EPOCH FROM clock_timestamp() - run.heartbeat_at) AS text)
FROM {table} AS record
LEFT JOIN LATERAL (
    SELECT *
    FROM {runs} AS runs
    WHERE runs.record_table = {record_table} AND runs.record_id = CAST(record.id AS text)
    ORDER BY runs.run_id DESC
    LIMIT 1
) AS run ON TRUE
WHERE ($1 IS NULL OR CAST(record.status AS text) = $1)
    AND ($2 IS NULL OR run.name = $2)
ORDER BY
    record.train_start_time DESC NULLS LAST, -- when: id.unordered
    record.id DESC
LIMIT CAST($3 AS bigint)
