-- The questions of `check` and `migrate` about the user's table.

-- name: read_only
SELECT 'on'

-- name: probe_times
strftime('%Y-%m-%d %H:%M:%f000', 'now')
strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 day')

-- name: series_table
SELECT name FROM sqlite_schema WHERE name = 'runwrap_series' AND $1 IS NOT NULL

-- name: begin_probe
SAVEPOINT probe

-- name: fitness
-- Facts about the tables: a topic and seven texts. $1: the table, quoted. $2: NULL. $3: its name.
SELECT
    'schema' AS topic,
    'main',
    NULL,
    iif($1 IS NOT NULL AND $2 IS NULL, 'true', 'false'),
    'true',
    NULL,
    NULL,
    NULL
UNION ALL
SELECT
    'relation',
    iif(name = $3 COLLATE NOCASE, $3, name),
    -- Also a view is as a table: its triggers cannot change the new row.
    'r',
    'SELECT,INSERT,UPDATE',
    iif(type = 'view', '0', '12'),
    'false',
    iif(EXISTS (SELECT 1 FROM pragma_table_list($3) AS shown WHERE shown.schema = 'main' AND shown.strict), 'true', 'false'),
    NULL
FROM sqlite_schema
WHERE type IN ('table', 'view') AND (name = $3 COLLATE NOCASE OR name IN ('runwrap_migrations', 'runwrap_runs', 'runwrap_versions', 'runwrap_series'))
UNION ALL
SELECT
    'column',
    name,
    type,
    NULL,
    iif("notnull", 'true', 'false'),
    iif(
        (dflt_value IS NOT NULL AND upper(dflt_value) <> 'NULL')
        -- The row's number is no index of its own.
        OR (pk = 1 AND upper(type) = 'INTEGER' AND NOT EXISTS (SELECT 1 FROM pragma_index_list($3) WHERE origin = 'pk')),
        'true',
        'false'
    ),
    iif(hidden > 1, 'true', 'false'),
    'SELECT,INSERT,UPDATE'
FROM pragma_table_xinfo($3)
WHERE hidden <> 1
UNION ALL
SELECT
    iif(type = 'table', 'source', 'source_of_trigger'),
    sql,
    iif(type = 'table', NULL, name),
    NULL,
    NULL,
    NULL,
    NULL,
    NULL
FROM sqlite_schema
WHERE type IN ('table', 'trigger') AND tbl_name = $3 COLLATE NOCASE
UNION ALL
-- The foreign keys of the status alone.
SELECT
    'reference',
    'a foreign key',
    '"' || replace("table", '"', '""') || '"',
    '"' || replace(COALESCE("to", (SELECT name FROM pragma_table_info("table") WHERE pk = 1)), '"', '""') || '"',
    NULL,
    NULL,
    NULL,
    NULL
FROM pragma_foreign_key_list($3)
CROSS JOIN pragma_foreign_keys
WHERE foreign_keys
GROUP BY id
HAVING count(*) = 1 AND lower(max("from")) = 'status'
