UPDATE {table}
SET
    {assignments}
WHERE id = CAST($1 AS {id.type})
