-- The run is now tied to its row, in the table that was asked for this time.
UPDATE {runs}
SET
    record_table = {record_table},
    record_id = :record_id,
    record_version = :record_version
WHERE run_id = :run_id
