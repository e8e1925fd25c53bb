-- Questions about the user's table, equal in both dialects.

-- name: has_runs
SELECT 'true'
FROM {schema}.runwrap_runs
WHERE record_table = $1 AND record_id IS NOT NULL
LIMIT 1

-- name: probe
SELECT
    {values}

-- name: probe_value
SELECT {value} AS {column}

-- name: probe_check
-- Whether a row passes. The expression may end in a comment.
SELECT CAST(count(CASE WHEN ({expression}
) IS FALSE THEN NULL ELSE 1 END) > 0 AS text)
FROM (SELECT * FROM {rows}) AS {alias}

-- name: probe_reference
SELECT CAST(EXISTS (SELECT 1 FROM {parent} WHERE {column} = {value}) AS text)
