-- Whether the run and its row in the user's table are both there.
SELECT 1
FROM {runs} AS run
JOIN {table} AS record ON record.id = run.record_id
WHERE run.run_id = :run_id AND run.record_table = {record_table}
