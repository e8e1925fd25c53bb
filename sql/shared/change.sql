-- Statements of a change, equal in both dialects.

-- name: update_run
-- Under the lock of lock_run or lock_runs_of.
UPDATE {schema}.runwrap_runs
SET
    {assignments}
WHERE run_id = $1

-- name: insert_run
-- Without ON CONFLICT: a row that another process has inserted meanwhile fails the transaction.
INSERT INTO {schema}.runwrap_runs (
    {columns}
)
VALUES (
    {values}
)

-- name: next_attempt
-- Under lock_text for the job.
SELECT CAST(coalesce(max(attempt), 0) + 1 AS text)
FROM {schema}.runwrap_runs
WHERE record_table = $1 AND job = $2

-- name: read_record
-- Without a lock: update_record compares instead.
SELECT
    {columns}
FROM {table}
WHERE id = $1

-- name: update_record
-- Compare-and-swap: an application's own write since read_record makes this change nought rows.
UPDATE {table}
SET
    {assignments}
WHERE id = $1
    AND {condition}
