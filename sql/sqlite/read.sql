-- name: list_runs
-- The newest runs that fit, older than $2.
SELECT
    run_id,
    record_id,
    record_version
FROM {schema}.runwrap_runs
-- With a plus the planner takes no index that begins with record_table, which all runs share: it would read and sort them all.
WHERE {table_column} = $1
    AND run_id < $2
    AND {condition}
ORDER BY run_id DESC
LIMIT {limit}

-- name: overdue
-- Runs whose lease has expired.
SELECT run_id
-- Without the hint the planner takes any index that begins with record_table, which all runs share.
FROM {schema}.runwrap_runs INDEXED BY runwrap_runs_live
WHERE record_table = $1
    AND reason IS NULL
    AND strftime('%Y-%m-%d %H:%M:%f', 'now')
        > strftime('%Y-%m-%d %H:%M:%f', heartbeat_at, '+' || lease_seconds || ' seconds')
ORDER BY run_id
LIMIT {limit}

-- name: live_page
SELECT record_id
FROM {schema}.runwrap_runs INDEXED BY runwrap_runs_live
WHERE record_table = $1
    AND reason IS NULL
    AND record_id > $2
ORDER BY record_id
LIMIT {limit}

-- name: estimate
-- The range of the ids, if they are integers; else the last rowid. Counting would take as long as reading.
SELECT CAST(
    CASE WHEN typeof(max(id)) = 'integer' THEN max(id) - (SELECT min(id) FROM {table}) + 1 END AS text
)
FROM {table}
WHERE $1 IS NOT NULL

-- name: highest_version
-- The highest vN among the newest rows that no named run describes.
SELECT CAST(max(CAST(substr(recent.version, 2) AS INTEGER)) AS text)
FROM (
    SELECT
        CAST(id AS text) AS record_id,
        {version} AS version
    FROM {table}
    ORDER BY id DESC
    LIMIT {limit}
) AS recent
WHERE recent.version GLOB 'v[0-9]*'
    AND substr(recent.version, 2) NOT GLOB '*[^0-9]*'
    AND length(recent.version) <= 10
    AND NOT EXISTS (
        SELECT 1
        FROM {schema}.runwrap_runs AS runs
        WHERE runs.record_table = $1
            AND runs.record_id = recent.record_id
            AND +runs.name IS NOT NULL
    )

-- name: pulse
-- The watched runs without an end: how many, how many overdue, and the age of the oldest last heartbeat in seconds.
SELECT
    CAST(count(*) AS text),
    CAST(coalesce(sum(
        strftime('%Y-%m-%d %H:%M:%f', 'now')
        > strftime('%Y-%m-%d %H:%M:%f', heartbeat_at, '+' || lease_seconds || ' seconds')
    ), 0) AS text),
    CAST((julianday('now') - julianday(min(heartbeat_at))) * 86400.0 AS text)
FROM {schema}.runwrap_runs INDEXED BY runwrap_runs_live
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
                FROM {schema}.runwrap_runs AS named INDEXED BY runwrap_runs_named
                WHERE named.record_table = $1
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
