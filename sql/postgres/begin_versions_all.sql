-- The highest vN of a name. A row that no run describes has no name and counts for every name; a row that somebody
-- deleted under a live run keeps its version, since it comes back. $1: the name.
SELECT CAST(max(number) AS text)
FROM (
    SELECT CAST(substr(CAST(record.version AS text), 2) AS bigint) AS number
    FROM {table} AS record
    WHERE CAST(record.version AS text) ~ '^v[0-9]{1,9}$'
        AND NOT EXISTS (
            SELECT
            FROM {runs} AS runs
            WHERE runs.record_table = {record_table}
                AND runs.record_id = CAST(record.id AS text)
                AND runs.name <> $1
        )
    UNION ALL
    SELECT CAST(substr(runs.record_version, 2) AS bigint)
    FROM {runs} AS runs
    WHERE runs.record_table = {record_table}
        AND runs.name = $1
        AND (runs.reason IS NULL OR runs.presumed)
        AND runs.record_version ~ '^v[0-9]{1,9}$'
) AS numbers
