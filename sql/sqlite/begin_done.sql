UPDATE {runs}
SET
    record_id = :record_id,
    record_version = :record_version
WHERE run_id = :run_id
