-- Statements of a change. BEGIN IMMEDIATE is lock enough.

-- name: lock_run
-- A run owns its record until another run is tied to the same one: after a restore or in a new table the number is another run's.
SELECT
    strftime('%Y-%m-%d %H:%M:%f', 'now'),
    '1970-01-01 00:00:00',
    NULL,
    iif(EXISTS (
        SELECT 1
        FROM {schema}.runwrap_runs AS later
        WHERE later.record_table = runwrap_runs.record_table
            AND later.record_id = runwrap_runs.record_id
            AND (coalesce(later.tied_at, ''), later.run_id) > (coalesce(runwrap_runs.tied_at, ''), runwrap_runs.run_id)
    ), 'false', 'true'),
    {columns}
FROM {schema}.runwrap_runs
WHERE run_id = $1

-- name: renew
-- A heartbeat that brings a later sign of life and nothing else. Nought rows: the run has an end, or is missing.
UPDATE {schema}.runwrap_runs
SET
    heartbeat_at = strftime('%Y-%m-%d %H:%M:%f000', 'now'),
    last_seen_at = max(last_seen_at, $2)
WHERE run_id = $1
    AND reason IS NULL
RETURNING 1

-- name: lock_runs_of
-- Every run that describes a record, the newest last.
SELECT
    {columns}
FROM {schema}.runwrap_runs
WHERE record_table = $1 AND record_id = $2
ORDER BY tied_at NULLS FIRST, run_id

-- name: lock_text
SELECT $1

-- name: insert_record
INSERT INTO {table} (
    {columns}
)
VALUES (
    {values}
)
RETURNING CAST(id AS text)

-- name: next_id
-- SQLite gives the id of a deleted last row to the next one, but a run whose row was deleted may come back under its id. NULL if the
-- table's own next id is as good.
SELECT CAST(used + 1 AS text)
FROM (
    SELECT
        (
            SELECT CAST(record_id AS INTEGER)
            FROM {schema}.runwrap_runs
            WHERE record_table = $1
            ORDER BY CAST(record_id AS INTEGER) DESC
            LIMIT 1
        ) AS used,
        (SELECT COALESCE(max(id), 0) FROM {table}) AS present
)
WHERE used > present

-- name: unended_namesake
-- Another run of the name without an end.
SELECT
    run_id,
    record_id,
    host
FROM {schema}.runwrap_runs INDEXED BY runwrap_runs_live
WHERE record_table = $1
    AND reason IS NULL
    AND name = $2
    AND run_id <> $3
ORDER BY run_id
LIMIT 1

-- name: claim_end
-- Nought rows: another process has claimed it, or the run goes on. {condition} is about an end that is not new.
UPDATE runwrap_runs
SET
    notified_at = strftime('%Y-%m-%d %H:%M:%f', 'now')
WHERE record_table = $1
    AND run_id = $2
    AND reason IS NOT NULL
    AND {condition}
