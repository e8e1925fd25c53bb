-- The counters of versions. The counter with the empty name is a table's base: the highest vN among the rows that no named run
-- described when runwrap first looked. Every other counter of the table starts above it.

-- name: next_version
-- Serializes version allocation per name until commit.
UPDATE {schema}.runwrap_versions
SET number = number + 1
WHERE record_table = $1 AND name = $2
RETURNING CAST(number AS text)

-- name: version_counter
SELECT CAST(number AS text)
FROM {schema}.runwrap_versions
WHERE record_table = $1 AND name = $2

-- name: raise_version
-- $3: the number of a new counter, and the least of a known one. $4: how far a known one advances: 1 to take a number, else 0.
INSERT INTO {schema}.runwrap_versions AS counter (record_table, name, number)
VALUES ($1, $2, CAST($3 AS bigint))
ON CONFLICT (record_table, name) DO UPDATE
SET number = CASE
    WHEN counter.number + CAST($4 AS bigint) > excluded.number THEN counter.number + CAST($4 AS bigint)
    ELSE excluded.number
END
RETURNING CAST(number AS text)
