-- Statements of a change. The order of locks is the same for all: runs by their ids, then nothing.

-- name: lock_run
-- In a batch. A run owns its record until another run is tied to the same one: after a restore or in a new table the number is
-- another run's. An end needs no timeline: the planner drops a call behind a constant, which would cost a new connection a tenth of a
-- millisecond.
SELECT
    clock_timestamp(),
    pg_postmaster_start_time(),
    CASE WHEN {needs_timeline} THEN {schema}.runwrap_timeline() END,
    NOT EXISTS (
        SELECT
        FROM {schema}.runwrap_runs AS later
        WHERE later.record_table = runwrap_runs.record_table
            AND later.record_id = runwrap_runs.record_id
            AND (coalesce(later.tied_at, '-infinity'), later.run_id) > (coalesce(runwrap_runs.tied_at, '-infinity'), runwrap_runs.run_id)
    ),
    {columns}
FROM {schema}.runwrap_runs
WHERE run_id = $1
FOR UPDATE

-- name: renew
-- A heartbeat that brings a later sign of life and nothing else. Nought rows: the run has an end, is missing, or had its last heartbeat
-- before a standby was promoted, which may lack what the run had written.
UPDATE {schema}.runwrap_runs
SET
    heartbeat_at = clock_timestamp(),
    -- GREATEST, which finds its comparison by the type, would cost a new connection a tenth of a millisecond more.
    last_seen_at = CASE WHEN last_seen_at > $2 THEN last_seen_at ELSE $2 END
WHERE run_id = $1
    AND reason IS NULL
    -- $3 is the timeline of the last whole heartbeat. The function runwrap_timeline would cost a new connection a third of a millisecond.
    AND starts_with(pg_walfile_name(pg_current_wal_lsn()), $3)
RETURNING 1

-- name: lock_runs_of
-- Every run that describes a record, the newest last.
SELECT
    {columns}
FROM {schema}.runwrap_runs
WHERE record_table = $1 AND record_id = $2
ORDER BY tied_at NULLS FIRST, run_id
FOR UPDATE

-- name: lock_text
-- Serializes by a text until commit: the adoptions of one row, which may be in a view, the runs of one name, the attempts of one job.
SELECT CAST(pg_advisory_xact_lock(hashtextextended($1, 0)) AS text)

-- name: insert_record
INSERT INTO {table} (
    {columns}
)
OVERRIDING SYSTEM VALUE
VALUES (
    {values}
)
RETURNING CAST(id AS text)

-- name: unended_namesake
-- Another run of the name without an end. Under lock_text for the name.
SELECT
    CAST(run_id AS text),
    record_id,
    host
FROM {schema}.runwrap_runs
WHERE record_table = $1
    AND reason IS NULL
    AND name = $2
    AND run_id <> CAST($3 AS uuid)
ORDER BY run_id
LIMIT 1

-- name: claim_end
-- Nought rows: another process has claimed it, or the run goes on. {condition} is about an end that is not new.
UPDATE {schema}.runwrap_runs
SET
    notified_at = clock_timestamp()
WHERE record_table = $1
    AND run_id = $2
    AND reason IS NOT NULL
    AND {condition}
