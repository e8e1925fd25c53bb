-- The id of a record as it is kept, by the id that somebody typed.
SELECT CAST(id AS text)
FROM {table}
WHERE id = CAST($1 AS {id.type})
