-- The run is now tied to its row, in the table that was asked for this time, and knows what it saw of the others.
UPDATE {runs}
SET
    record_table = {record_table},
    record_id = :record_id,
    record_version = :record_version,
    counted_until = COALESCE(:counted_until, CASE WHEN record_table = {record_table} THEN counted_until END),
    counted_number = COALESCE(:counted_number, CASE WHEN record_table = {record_table} THEN counted_number END),
    counted_id = COALESCE(:counted_id, CASE WHEN record_table = {record_table} THEN counted_id END)
WHERE run_id = :run_id
