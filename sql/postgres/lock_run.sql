-- The run is locked in a statement of its own, before the one that decides. A statement sees what had been committed
-- when it began: one that waits for the lock itself would pass over a row by what it said before the wait.
SELECT CAST(run_id AS text)
FROM {runs}
WHERE run_id = CAST($1 AS uuid)
FOR UPDATE
