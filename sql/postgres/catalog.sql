-- Where the tables are and what the user's looks like, as one JSON object.
-- $1: the user's table, quoted. $2: the schema it is typed with, or NULL.
WITH place AS (
    SELECT
        to_regclass($1) AS record_table,
        COALESCE(
            (
                SELECT nspname
                FROM pg_catalog.pg_class
                JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
                WHERE pg_class.oid = to_regclass($1)
            ),
            CAST($2 AS name),
            current_schema()
        ) AS schema
),
-- runwrap's own tables are beside the user's.
own AS (
    SELECT
        to_regclass(format('%I.runwrap_runs', schema)) AS runs,
        to_regclass(format('%I.runwrap_migrations', schema)) AS migrations
    FROM place
)
SELECT CAST(json_build_object(
    'schema', schema,
    -- By the snapshot that the columns are read by: the name is looked up by a newer one, and a table that somebody
    -- is just making would be there without its columns.
    'table_exists', EXISTS (SELECT FROM pg_catalog.pg_class WHERE pg_class.oid = record_table),
    'runs_exists', runs IS NOT NULL,
    'migrations_exists', migrations IS NOT NULL,
    'migrations_readable', COALESCE(has_table_privilege(migrations, 'SELECT'), FALSE),
    'columns', (
        SELECT COALESCE(json_agg(json_build_object(
            'name', attname,
            -- The modifier -1 tells bpchar from character(1), and a cast to it never cuts a text.
            'type_name', format_type(atttypid, -1),
            'base_type', format_type(CASE typtype WHEN 'd' THEN typbasetype ELSE atttypid END, -1),
            'length', CASE
                WHEN CASE typtype WHEN 'd' THEN typbasetype ELSE atttypid END
                    IN ('varchar'::regtype, 'bpchar'::regtype)
                    AND CASE typtype WHEN 'd' THEN typtypmod ELSE atttypmod END > 4
                THEN CASE typtype WHEN 'd' THEN typtypmod ELSE atttypmod END - 4
            END,
            'has_default', atthasdef OR attidentity <> '',
            'computed', attgenerated <> ''
        ) ORDER BY attnum), '[]')
        FROM pg_catalog.pg_attribute
        JOIN pg_catalog.pg_type ON pg_type.oid = atttypid
        WHERE attrelid = record_table AND attnum > 0 AND NOT attisdropped
    )
) AS text)
FROM place, own
