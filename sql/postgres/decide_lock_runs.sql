-- Whoever decides about a record locks in the order in which a run's own changes do: what describes it, then itself.
SELECT CAST(run_id AS text)
FROM {runs}
WHERE record_table = {record_table} AND record_id = $1
ORDER BY run_id
FOR UPDATE
