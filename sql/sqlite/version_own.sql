-- The highest vN of a name that its runs say, whose rows are still there or may come back.
SELECT CAST(substr(run.record_version, 2) AS INTEGER)
FROM {runs} AS run
WHERE run.record_table = {record_table}
    AND run.name = :name
    AND run.record_version GLOB 'v[0-9]*'
    AND substr(run.record_version, 2) NOT GLOB '*[^0-9]*'
    AND length(run.record_version) <= 10
    AND (
        run.reason IS NULL
        OR run.presumed
        OR EXISTS (
            SELECT 1
            FROM {table} AS record
            WHERE record.id = CAST(run.record_id AS INTEGER) AND record.version = run.record_version
        )
    )
ORDER BY CAST(substr(run.record_version, 2) AS INTEGER) DESC
LIMIT 1
