-- The highest vN that the rows say which no run of another name describes, where it is higher than what is known. Only the
-- newest are read, those that no earlier beginning has counted. One line for those that are to be counted now, with the
-- row that has the highest, and one for all others.
SELECT
    recent.id <= :settled_until
    AND NOT EXISTS (
        SELECT 1
        FROM {runs} AS run
        WHERE run.record_table = {record_table}
            AND run.record_id = recent.record_id
            -- By its record: all runs of a table have a name.
            AND +run.name IS NOT NULL
    ) AS is_counted,
    -- The id beside it is that of the row with the highest.
    max(recent.number),
    recent.id
FROM (
    SELECT
        id,
        CAST(id AS TEXT) AS record_id,
        version,
        CAST(substr(version, 2) AS INTEGER) AS number
    FROM {table}
    WHERE id > :counted_until
    ORDER BY id DESC
    LIMIT {counted_rows}
) AS recent
WHERE recent.version GLOB 'v[0-9]*'
    AND substr(recent.version, 2) NOT GLOB '*[^0-9]*'
    AND length(recent.version) <= 10
    AND recent.number > :counted_number
    AND (recent.number > :own_number OR recent.id <= :settled_until)
    AND NOT EXISTS (
        SELECT 1
        FROM {runs} AS run
        WHERE run.record_table = {record_table}
            AND run.record_id = recent.record_id
            AND run.name <> :name
    )
GROUP BY 1
