-- What the database remembers of the run.
SELECT
    record_id,
    record_version
FROM {runs}
WHERE run_id = :run_id AND record_table = {record_table}
