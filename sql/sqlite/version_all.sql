-- The highest vN of a name. A row that no run describes has no name and counts for every name; a row that somebody
-- deleted under a live run keeps its version, since it comes back.
SELECT max(CAST(substr(version, 2) AS INTEGER))
FROM (
    SELECT record.version AS version
    FROM {table} AS record
    WHERE NOT EXISTS (
        SELECT 1
        FROM {runs} AS run
        WHERE run.record_table = {record_table}
            AND run.record_id = CAST(record.id AS TEXT)
            AND run.name <> :name
    )
    UNION ALL
    SELECT run.record_version
    FROM {runs} AS run
    WHERE run.record_table = {record_table}
        AND run.name = :name
        AND (run.reason IS NULL OR run.presumed)
)
WHERE version GLOB 'v[0-9]*'
    AND substr(version, 2) NOT GLOB '*[^0-9]*'
    AND length(version) <= 10
