-- SQLite gives the id of a deleted last row to the next one. A run whose row was deleted may still come back under it,
-- so a new row then takes the id after it. NULL where the table's own next id is as good.
SELECT CAST(used + 1 AS TEXT)
FROM (
    SELECT
        (
            SELECT CAST(record_id AS INTEGER)
            FROM {runs}
            WHERE record_table = {record_table}
            ORDER BY CAST(record_id AS INTEGER) DESC
            LIMIT 1
        ) AS used,
        (SELECT COALESCE(max(id), 0) FROM {table}) AS present
)
WHERE used > present
