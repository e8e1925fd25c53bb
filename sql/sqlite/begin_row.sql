-- A row of the user's table, if it exists.
SELECT
    CAST(id AS TEXT),
    CAST(status AS TEXT),
    CAST(version AS TEXT) -- when: version
    NULL -- when: version.absent
FROM {table}
WHERE id = :record_id
