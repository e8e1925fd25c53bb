UPDATE {table}
SET
    {assignments}
WHERE id = ?1
