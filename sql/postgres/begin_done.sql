UPDATE {runs}
SET
    record_id = $2,
    record_version = $3
WHERE run_id = CAST($1 AS uuid)
