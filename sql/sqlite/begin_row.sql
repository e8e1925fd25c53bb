-- A row of the user's table, if it exists.
SELECT
    CAST(id AS TEXT),
    CAST(version AS TEXT), -- when: version
    CAST(status AS TEXT)
FROM {table}
WHERE id = :record_id
