INSERT INTO {table} (
    {columns}
)
OVERRIDING SYSTEM VALUE
VALUES (
    {values}
)
RETURNING CAST(id AS text)
