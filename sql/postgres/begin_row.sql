-- The version of a row of the user's table, if it exists.
SELECT
    CAST(version AS text) -- when: version
    CAST(NULL AS text) -- when: version.absent
FROM {table}
WHERE id = CAST($1 AS {id.type})
