-- A row that the application has inserted. Locked, so that of two runs that adopt it the second sees the first.
SELECT
    CAST(id AS text),
    CAST(status AS text),
    CAST(version AS text) -- when: version
    CAST(NULL AS text) -- when: version.absent
FROM {table}
WHERE id = CAST($1 AS {id.type})
FOR UPDATE
