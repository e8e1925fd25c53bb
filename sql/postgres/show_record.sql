-- One record by its id, with the last run that described it.
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
WHERE record.id = CAST($1 AS {id.type})
