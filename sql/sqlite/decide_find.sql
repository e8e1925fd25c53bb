-- The id of a record as it is kept, by the id that somebody typed.
SELECT CAST(id AS TEXT)
FROM {table}
WHERE id = :record_id
