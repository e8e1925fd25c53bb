-- The run is now tied to its row, in the table that was asked for this time.
UPDATE {runs}
SET
    record_table = {record_table},
    record_id = $2,
    record_version = $3
WHERE run_id = CAST($1 AS uuid)
