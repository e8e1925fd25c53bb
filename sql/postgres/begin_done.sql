-- The run is now tied to its row, in the table that was asked for this time, and knows what it saw of the others.
UPDATE {runs}
SET
    record_table = {record_table},
    record_id = $2,
    record_version = $3,
    counted_until = COALESCE(CAST($4 AS bigint), CASE WHEN record_table = {record_table} THEN counted_until END),
    counted_number = COALESCE(CAST($5 AS bigint), CASE WHEN record_table = {record_table} THEN counted_number END),
    counted_id = COALESCE(CAST($6 AS bigint), CASE WHEN record_table = {record_table} THEN counted_id END)
WHERE run_id = CAST($1 AS uuid)
