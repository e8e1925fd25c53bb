-- What the database remembers of the run. Locked, so that of two deliveries that find the row deleted only one
-- puts it back.
SELECT
    record_id,
    record_version
FROM {runs}
WHERE run_id = CAST($1 AS uuid) AND record_table = {record_table}
FOR UPDATE
