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
