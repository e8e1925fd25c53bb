-- The live run that watches a row already.
SELECT run_id
FROM {runs}
WHERE record_table = {record_table} AND record_id = :record_id AND reason IS NULL AND run_id <> :run_id
LIMIT 1
