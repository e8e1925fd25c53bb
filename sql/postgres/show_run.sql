-- One record by the id of its run.
SELECT
    CAST(row_to_json(record.*) AS text),
    CAST(row_to_json(run.*) AS text),
    CAST(EXTRACT(EPOCH FROM clock_timestamp() - run.heartbeat_at) AS text)
FROM {runs} AS run
JOIN {table} AS record ON record.id = CAST(run.record_id AS {id.type})
WHERE run.record_table = {record_table} AND run.run_id = CAST($1 AS uuid)
