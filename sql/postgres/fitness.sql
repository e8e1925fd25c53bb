-- The questions of `check` and `migrate` about the user's table. A run that begins does not ask them.

-- name: read_only
SELECT set_config('transaction_read_only', 'on', TRUE)

-- name: fitness
-- Facts about the tables: a topic and seven texts. $1: the table, quoted. $2: its schema, if given. $3: its name. Rights are asked
-- by oid: without USAGE on the schema the names in it are errors.
WITH place AS (
    SELECT
        oid AS schema,
        nspname
    FROM pg_catalog.pg_namespace
    WHERE nspname = COALESCE(
        CAST($2 AS text),
        CASE WHEN CAST($2 AS text) IS NULL THEN (pg_identify_object_as_address(1259, to_regclass($1), 0)).object_names[1] END,
        CAST(current_schema() AS text)
    )
),
relations AS (
    SELECT
        pg_class.oid AS relation,
        relname,
        relkind,
        relhasrules
    FROM place
    JOIN pg_catalog.pg_class ON relnamespace = schema
    WHERE relname IN ($3, 'runwrap_migrations', 'runwrap_runs', 'runwrap_versions')
),
columns AS (
    SELECT
        relation,
        relkind,
        attname,
        attnum,
        atttypid,
        atttypmod,
        attnotnull,
        attcollation,
        atthasdef OR attidentity <> '' AS is_filled,
        attgenerated <> '' AS is_computed
    FROM relations
    JOIN pg_catalog.pg_attribute ON attrelid = relation AND attnum > 0 AND NOT attisdropped
    WHERE relname = $3
)
SELECT
    'schema' AS topic,
    CAST(nspname AS text),
    CAST(current_user AS text),
    CAST(has_schema_privilege(schema, 'USAGE') AS text),
    NULL,
    NULL,
    NULL,
    NULL
FROM (SELECT) AS always
LEFT JOIN place ON TRUE
UNION ALL
SELECT
    'relation',
    CAST(relname AS text),
    CAST(relkind AS text),
    concat_ws(
        ',',
        CASE WHEN has_table_privilege(relation, 'SELECT') THEN 'SELECT' END,
        CASE WHEN has_table_privilege(relation, 'INSERT') THEN 'INSERT' END,
        CASE WHEN has_table_privilege(relation, 'UPDATE') THEN 'UPDATE' END
    ),
    -- 4: UPDATE, 8: INSERT, also by a view's triggers.
    CASE WHEN relkind = 'v' THEN CAST(pg_relation_is_updatable(CAST(relation AS regclass), TRUE) & 12 AS text) ELSE '12' END,
    CAST(relhasrules AS text),
    NULL,
    NULL
FROM relations
UNION ALL
SELECT
    'column',
    CAST(attname AS text),
    format_type(atttypid, atttypmod),
    CASE WHEN typtype = 'e' THEN format('%I.%I', nspname, typname) END,
    CAST(attnotnull OR typnotnull AS text),
    CAST(is_filled OR typdefault IS NOT NULL AS text),
    CAST(is_computed AS text),
    concat_ws(
        ',',
        CASE WHEN has_column_privilege(relation, attnum, 'SELECT') THEN 'SELECT' END,
        CASE WHEN has_column_privilege(relation, attnum, 'INSERT') THEN 'INSERT' END,
        CASE WHEN has_column_privilege(relation, attnum, 'UPDATE') THEN 'UPDATE' END
    )
FROM columns
JOIN pg_catalog.pg_type ON pg_type.oid = atttypid
JOIN pg_catalog.pg_namespace ON pg_namespace.oid = typnamespace
UNION ALL
SELECT
    'check',
    CAST(conname AS text),
    pg_get_expr(conbin, conrelid),
    CAST(convalidated AS text),
    CASE WHEN attcollation <> typcollation THEN format('%I.%I', nspname, collname) END,
    NULL,
    NULL,
    NULL
FROM columns
JOIN pg_catalog.pg_constraint ON conrelid = relation AND contype = 'c' AND conkey = ARRAY[attnum]
JOIN pg_catalog.pg_type ON pg_type.oid = atttypid
LEFT JOIN pg_catalog.pg_collation ON pg_collation.oid = attcollation
LEFT JOIN pg_catalog.pg_namespace ON pg_namespace.oid = collnamespace
-- PostgreSQL 18 has constraints that it does not enforce.
WHERE attname = 'status' AND to_jsonb(pg_constraint) -> 'conenforced' IS DISTINCT FROM to_jsonb(FALSE)
UNION ALL
SELECT
    'sequence',
    CAST(attname AS text),
    format('%I.%I', sequence_schema.nspname, sequence.relname),
    CAST(has_sequence_privilege(sequence.oid, 'USAGE') OR has_sequence_privilege(sequence.oid, 'UPDATE') AS text),
    NULL,
    NULL,
    NULL,
    NULL
FROM columns
JOIN pg_catalog.pg_attrdef ON adrelid = relation AND adnum = attnum
JOIN pg_catalog.pg_depend ON
    classid = CAST('pg_catalog.pg_attrdef' AS regclass)
    AND objid = pg_attrdef.oid
    AND refclassid = CAST('pg_catalog.pg_class' AS regclass)
JOIN pg_catalog.pg_class AS sequence ON sequence.oid = refobjid AND sequence.relkind = 'S'
JOIN pg_catalog.pg_namespace AS sequence_schema ON sequence_schema.oid = sequence.relnamespace
UNION ALL
-- Triggers for each row, also of partitions, before or instead of its insertion or update.
SELECT
    'trigger',
    CAST(tgname AS text),
    format('%I.%I', nspname, proname),
    prosrc,
    CAST(tgtype & 4 = 4 AS text),
    CAST(lanname = 'plpgsql' AS text),
    CAST(tgqual IS NOT NULL AS text),
    NULL
FROM relations
JOIN pg_catalog.pg_trigger ON
    (tgrelid = relation OR tgrelid IN (SELECT relid FROM pg_partition_tree(CAST(relation AS regclass))))
    AND NOT tgisinternal
    AND tgenabled IN ('O', 'A')
JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
JOIN pg_catalog.pg_language ON pg_language.oid = prolang
JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
WHERE relations.relname = $3 AND tgtype & 1 = 1 AND tgtype & 20 <> 0 AND tgtype & 66 <> 0
