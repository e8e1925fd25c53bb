-- The highest vN of a name, where the table counts its ids: what the runs of the name say whose rows are still there or
-- may come back, and what the rows say that no run of another name describes. Of these only the newest are read, those
-- that no earlier beginning has counted. Without a run they have no name and count for every name.
-- Then up to which id all are counted, where that is worth writing down, the highest number among those without a name,
-- and the row that has it.
WITH latest AS MATERIALIZED (
    SELECT
        counted_until,
        counted_number,
        counted_id
    FROM {runs}
    WHERE record_table = {record_table}
        AND counted_until IS NOT NULL
        -- A table that was emptied counts from the beginning.
        AND counted_until <= (SELECT max(id) FROM {table})
    ORDER BY counted_until DESC
    LIMIT 1
),
-- It holds while the row that it names says so still, and has no name.
counted AS MATERIALIZED (
    SELECT latest.*
    FROM latest
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
),
own AS MATERIALIZED (
    SELECT CAST(substr(run.record_version, 2) AS INTEGER) AS number
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
),
-- The very newest are read each time: the application may still be writing them.
bounds AS MATERIALIZED (
    SELECT
        COALESCE((SELECT counted_until FROM counted), -9223372036854775807) AS counted_until,
        COALESCE((SELECT counted_number FROM counted), 0) AS counted_number,
        COALESCE((SELECT number FROM own), 0) AS own_number,
        max(
            COALESCE((SELECT counted_until FROM counted), -9223372036854775807),
            COALESCE((SELECT max(id) FROM {table}), 0) - {unsettled_rows}
        ) AS settled_until
),
recent AS MATERIALIZED (
    SELECT
        id,
        version
    FROM {table}
    WHERE id > (SELECT counted_until FROM bounds)
    ORDER BY id DESC
    LIMIT {counted_rows}
),
told AS MATERIALIZED (
    SELECT
        recent.id,
        CAST(substr(recent.version, 2) AS INTEGER) AS number,
        recent.id <= bounds.settled_until AS settled,
        EXISTS (
            SELECT 1
            FROM {runs} AS run
            WHERE run.record_table = {record_table}
                AND run.record_id = CAST(recent.id AS TEXT)
                -- By its record: all runs of a table have a name.
                AND +run.name IS NOT NULL
        ) AS by_any,
        EXISTS (
            SELECT 1
            FROM {runs} AS run
            WHERE run.record_table = {record_table}
                AND run.record_id = CAST(recent.id AS TEXT)
                AND run.name <> :name
        ) AS by_another
    FROM recent, bounds
    WHERE recent.version GLOB 'v[0-9]*'
        AND substr(recent.version, 2) NOT GLOB '*[^0-9]*'
        AND length(recent.version) <= 10
        AND CAST(substr(recent.version, 2) AS INTEGER) > bounds.counted_number
        AND (
            CAST(substr(recent.version, 2) AS INTEGER) > bounds.own_number
            OR recent.id <= bounds.settled_until
        )
),
-- What is told is higher than what was counted before.
highest AS MATERIALIZED (
    SELECT
        id,
        number
    FROM told
    WHERE settled AND NOT by_any
    ORDER BY number DESC
    LIMIT 1
)
SELECT
    max(own_number, counted_number, COALESCE((SELECT max(number) FROM told WHERE NOT by_another), 0)),
    CASE WHEN settled_until >= counted_until + {unsettled_rows} THEN settled_until END,
    COALESCE((SELECT number FROM highest), counted_number),
    COALESCE((SELECT id FROM highest), (SELECT counted_id FROM counted))
FROM bounds
