-- Statements of the verbs that read, equal in both dialects.

-- name: records_by_id
SELECT
    {columns}
FROM {table}
WHERE id IN ({values})

-- name: list
SELECT
    {columns}
FROM {table}
WHERE {condition}
ORDER BY {order}
LIMIT {limit}

-- name: page
-- {condition} is id > $1 behind the first page.
SELECT
    {columns}
FROM {table}
WHERE {condition}
ORDER BY id
LIMIT {limit}

-- name: run_by_id
SELECT
    {columns}
FROM {schema}.runwrap_runs
WHERE record_table = $1 AND run_id = $2

-- name: runs_by_record
-- Every run that describes one of these records, the newest last.
SELECT
    {columns}
FROM {schema}.runwrap_runs
WHERE record_table = $1 AND record_id IN ({values})
ORDER BY tied_at NULLS FIRST, run_id

-- name: later_models
-- Start times of the records that write one of these models.
SELECT
    {columns}
FROM {table}
WHERE model_path IN ({values})

-- name: behind_id
id < {key}

-- name: behind_start
-- Rows without a start come last, as in the list.
train_start_time < (SELECT start.train_start_time FROM {table} AS start WHERE start.id = {key})
    OR (train_start_time = (SELECT start.train_start_time FROM {table} AS start WHERE start.id = {key}) AND id < {key})
    OR (train_start_time IS NULL AND (
        id < {key}
        OR (SELECT start.train_start_time FROM {table} AS start WHERE start.id = {key}) IS NOT NULL
    ))

-- name: recent_ends
-- The ends among the newest {limit} runs that began since $2, by their reasons.
SELECT
    recent.reason,
    CAST(count(*) AS text)
FROM (
    SELECT
        runs.record_table,
        runs.reason
    FROM {schema}.runwrap_runs AS runs
    WHERE runs.run_id >= $2
    ORDER BY runs.run_id DESC
    LIMIT {limit}
) AS recent
WHERE recent.record_table = $1
    AND recent.reason IS NOT NULL
GROUP BY recent.reason

-- name: recent_manual
-- The records of the ends among them that an operator set.
SELECT recent.record_id
FROM (
    SELECT
        runs.record_table,
        runs.record_id,
        runs.reason
    FROM {schema}.runwrap_runs AS runs
    WHERE runs.run_id >= $2
    ORDER BY runs.run_id DESC
    LIMIT {limit}
) AS recent
WHERE recent.record_table = $1
    AND recent.reason = 'manual'
    AND recent.record_id IS NOT NULL
