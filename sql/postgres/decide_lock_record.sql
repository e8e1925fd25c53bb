-- In a statement of its own, before the one that decides: see lock_run.sql.
SELECT CAST(id AS text)
FROM {table}
WHERE id = CAST($1 AS {id.type})
FOR UPDATE
