-- The highest vN of a name, where the table counts its ids: what the runs of the name say whose rows are still there or
-- may come back, and what the rows say that no run of another name describes. Of these only the newest are read, those
-- that no earlier beginning has counted. Without a run they have no name and count for every name. $1: the name.
-- Then up to which id all are counted, where that is worth writing down, the highest number among those without a name,
-- and the row that has it.
WITH latest AS (
    SELECT
        counting.counted_until,
        counting.counted_number,
        counting.counted_id
    FROM (
        SELECT
            counted_until,
            counted_number,
            counted_id,
            record_version,
            {record_number} AS id
        FROM {runs}
        WHERE record_table = {record_table}
            AND counted_until IS NOT NULL
            AND counted_until <= (SELECT max(id) FROM {table})
    ) AS counting
    -- A table that was emptied counts from the beginning: the row of the run that counted has gone with the others, also
    -- where as many have come since.
    WHERE EXISTS (
        SELECT
        FROM {table} AS record
        WHERE record.id = counting.id AND CAST(record.version AS text) = counting.record_version
    )
    ORDER BY counting.counted_until DESC
    LIMIT 1
),
-- It holds while the row that it names says so still, and has no name.
counted AS (
    SELECT latest.*
    FROM latest
    WHERE counted_id IS NULL
        OR EXISTS (
            SELECT
            FROM {table} AS record
            WHERE record.id = latest.counted_id
                AND CASE
                    WHEN CAST(record.version AS text) ~ '^v[0-9]{1,9}$'
                    THEN CAST(substr(CAST(record.version AS text), 2) AS bigint)
                END = latest.counted_number
                AND NOT EXISTS (
                    SELECT
                    FROM {runs} AS runs
                    WHERE runs.record_table = {record_table}
                        AND runs.record_id = CAST(record.id AS text)
                        AND runs.name IS NOT NULL
                )
        )
),
own AS (
    SELECT numbered.number
    FROM (
        SELECT
            CAST(substr(record_version, 2) AS bigint) AS number,
            record_version,
            reason IS NULL OR presumed AS may_come_back,
            {record_number} AS id
        FROM {runs}
        WHERE record_table = {record_table}
            AND name = $1
            AND record_version ~ '^v[0-9]{1,9}$'
    ) AS numbered
    WHERE numbered.may_come_back
        OR EXISTS (
            SELECT
            FROM {table} AS record
            WHERE record.id = numbered.id AND CAST(record.version AS text) = numbered.record_version
        )
    ORDER BY numbered.number DESC
    LIMIT 1
),
-- The very newest are read each time: the application may still be writing them.
bounds AS MATERIALIZED (
    SELECT
        COALESCE((SELECT counted_until FROM counted), -9223372036854775807) AS counted_until,
        COALESCE((SELECT counted_number FROM counted), 0) AS counted_number,
        COALESCE((SELECT number FROM own), 0) AS own_number,
        GREATEST(
            (SELECT counted_until FROM counted),
            (SELECT CAST(max(id) AS bigint) - {unsettled_rows} FROM {table})
        ) AS settled_until
),
recent AS (
    SELECT
        id,
        CAST(version AS text) AS version
    FROM {table}
    WHERE id > (SELECT counted_until FROM bounds)
    ORDER BY id DESC
    LIMIT {counted_rows}
),
numbered AS MATERIALIZED (
    SELECT
        id,
        CAST(substr(version, 2) AS bigint) AS number
    FROM recent
    WHERE version ~ '^v[0-9]{1,9}$'
),
told AS MATERIALIZED (
    SELECT
        numbered.id,
        numbered.number,
        numbered.id <= bounds.settled_until AS settled,
        COALESCE(described.by_any, FALSE) AS by_any,
        COALESCE(described.by_another, FALSE) AS by_another
    FROM numbered
    CROSS JOIN bounds
    CROSS JOIN LATERAL (
        SELECT
            bool_or(runs.name IS NOT NULL) AS by_any,
            bool_or(runs.name <> $1) AS by_another
        FROM {runs} AS runs
        WHERE runs.record_table = {record_table} AND runs.record_id = CAST(numbered.id AS text)
    ) AS described
    WHERE numbered.number > bounds.counted_number
        AND (numbered.number > bounds.own_number OR numbered.id <= bounds.settled_until)
),
-- What is told is higher than what was counted before.
highest AS (
    SELECT
        id,
        number
    FROM told
    WHERE settled AND NOT by_any
    ORDER BY number DESC
    LIMIT 1
)
SELECT
    CAST(GREATEST(own_number, counted_number, (SELECT max(number) FROM told WHERE NOT by_another)) AS text),
    CASE WHEN settled_until >= counted_until + {settled_rows} THEN CAST(settled_until AS text) END,
    CAST(COALESCE((SELECT number FROM highest), counted_number) AS text),
    CAST(COALESCE((SELECT id FROM highest), (SELECT counted_id FROM counted)) AS text)
FROM bounds
