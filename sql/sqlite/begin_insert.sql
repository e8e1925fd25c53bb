INSERT INTO {table} (
    {columns}
)
VALUES (
    {values}
)
RETURNING CAST(id AS TEXT)
