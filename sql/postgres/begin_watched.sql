-- The live run that watches a row already.
SELECT CAST(run_id AS text)
FROM {runs}
WHERE record_table = {record_table} AND record_id = $1 AND reason IS NULL AND run_id <> CAST($2 AS uuid)
LIMIT 1
