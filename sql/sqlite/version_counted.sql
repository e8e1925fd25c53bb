-- The newest row's id, and what an earlier beginning has counted of the rows that no run describes: up to which id, the
-- highest number among them, and the row that has it. It holds while that row says so still, and has no name.
SELECT
    newest.id,
    counted.counted_until,
    counted.counted_number,
    counted.counted_id
FROM (SELECT max(id) AS id FROM {table}) AS newest
LEFT JOIN (
    SELECT latest.*
    FROM (
        SELECT
            counted_until,
            counted_number,
            counted_id
        FROM {runs} AS run
        WHERE run.record_table = {record_table}
            AND run.counted_until IS NOT NULL
            AND run.counted_until <= (SELECT max(id) FROM {table})
            -- A table that was emptied counts from the beginning: the row of the run that counted has gone with the others,
            -- also where as many have come since.
            AND EXISTS (
                SELECT 1
                FROM {table} AS record
                WHERE record.id = CAST(run.record_id AS INTEGER) AND record.version = run.record_version
            )
        ORDER BY run.counted_until DESC
        LIMIT 1
    ) AS latest
    WHERE counted_id IS NULL
        OR EXISTS (
            SELECT 1
            FROM {table} AS record
            WHERE record.id = latest.counted_id
                AND record.version GLOB 'v[0-9]*'
                AND CAST(substr(record.version, 2) AS INTEGER) = latest.counted_number
                AND NOT EXISTS (
                    SELECT 1
                    FROM {runs} AS run
                    WHERE run.record_table = {record_table}
                        AND run.record_id = CAST(record.id AS TEXT)
                        AND +run.name IS NOT NULL
                )
        )
) AS counted
