-- name: list_runs
-- The newest runs that fit, older than $2.
SELECT
    -- The alias keeps the order by the index.
    CAST(run_id AS text) AS run,
    record_id,
    record_version
FROM {schema}.runwrap_runs
WHERE record_table = $1
    AND run_id < $2
    AND {condition}
ORDER BY run_id DESC
LIMIT {limit}

-- name: overdue
-- Runs whose lease has expired. A server younger than the lease received no heartbeat before its start.
SELECT CAST(run_id AS text)
FROM {schema}.runwrap_runs
WHERE record_table = $1
    AND reason IS NULL
    AND clock_timestamp() > heartbeat_at + make_interval(secs => lease_seconds)
    AND clock_timestamp() >= pg_postmaster_start_time() + make_interval(secs => lease_seconds)
ORDER BY run_id
LIMIT {limit}

-- name: live_page
SELECT record_id
FROM {schema}.runwrap_runs
WHERE record_table = $1
    AND reason IS NULL
    AND record_id > $2
ORDER BY record_id
LIMIT {limit}

-- name: estimate
-- The planner's count of rows; -1 before the first ANALYZE.
SELECT CAST(CAST(reltuples AS bigint) AS text)
FROM pg_catalog.pg_class
WHERE oid = to_regclass($1)

-- name: highest_version
-- The highest vN among the newest rows that no named run describes.
SELECT CAST(max(CAST(substr(recent.version, 2) AS bigint)) AS text)
FROM (
    SELECT
        CAST(id AS text) AS record_id,
        {version} AS version
    FROM {table}
    ORDER BY id DESC
    LIMIT {limit}
) AS recent
WHERE recent.version ~ '^v[0-9]{1,9}$'
    AND NOT EXISTS (
        SELECT
        FROM {schema}.runwrap_runs AS runs
        WHERE runs.record_table = $1
            AND runs.record_id = recent.record_id
            AND runs.name IS NOT NULL
    )

-- name: pulse
-- The watched runs without an end: how many, how many overdue, and the age of the oldest last heartbeat in seconds.
SELECT
    CAST(count(*) AS text),
    CAST(count(*) FILTER (
        WHERE clock_timestamp() > heartbeat_at + make_interval(secs => lease_seconds)
            AND clock_timestamp() >= pg_postmaster_start_time() + make_interval(secs => lease_seconds)
    ) AS text),
    CAST(EXTRACT(EPOCH FROM clock_timestamp() - min(heartbeat_at)) AS text)
FROM {schema}.runwrap_runs
WHERE record_table = $1
    AND reason IS NULL
    AND heartbeat_at IS NOT NULL

-- name: last_successes
-- Of the first names: the last success among the newest runs of each.
SELECT
    latest.name,
    runs.record_id
FROM (
    SELECT
        versions.name,
        (
            SELECT newest.run_id
            FROM (
                SELECT
                    named.run_id,
                    named.reason
                FROM {schema}.runwrap_runs AS named
                WHERE named.record_table = $1
                    AND left(named.name, 200) = left(versions.name, 200)
                    AND named.name = versions.name
                ORDER BY named.run_id DESC
                LIMIT {newest}
            ) AS newest
            WHERE newest.reason = 'success'
            ORDER BY newest.run_id DESC
            LIMIT 1
        ) AS run_id
    FROM (
        SELECT counters.name
        FROM {schema}.runwrap_versions AS counters
        WHERE counters.record_table = $1
            AND counters.name <> ''
        ORDER BY counters.name
        LIMIT {limit}
    ) AS versions
) AS latest
INNER JOIN {schema}.runwrap_runs AS runs ON runs.run_id = latest.run_id
WHERE runs.record_id IS NOT NULL
ORDER BY latest.name
