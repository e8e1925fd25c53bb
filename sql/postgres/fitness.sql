-- The questions of `check` and `migrate` about the user's table. A run that begins does not ask them.

-- name: read_only
SELECT set_config('transaction_read_only', 'on', TRUE)

-- name: probe_times
now()
now() - interval '1 day'

-- name: series_table
SELECT CAST(to_regclass($1) AS text)

-- name: begin_probe
-- A function in a constraint may take long. The bound ends with the savepoint.
SAVEPOINT probe;
SET LOCAL statement_timeout = 500

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
    WHERE relname IN ($3, 'runwrap_migrations', 'runwrap_runs', 'runwrap_versions', 'runwrap_series')
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
        attinhcount,
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
    CAST(has_schema_privilege(schema, 'CREATE') AS text),
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
    CASE WHEN relkind = 'v' THEN CAST(pg_relation_is_updatable(CAST(relation AS regclass), TRUE) & 12 AS text) WHEN relkind = 'm' THEN '0' ELSE '12' END,
    CAST(relhasrules AS text),
    NULL,
    -- What row-level security refuses of each row.
    CASE WHEN row_security_active(relation) THEN (
        SELECT string_agg(command, ',')
        FROM (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w')) AS needed (command, letter)
        WHERE NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_policy
            CROSS JOIN unnest(polroles) AS role
            WHERE polrelid = relation
                AND polpermissive
                AND polcmd IN ('*', CAST(letter AS "char"))
                AND CASE WHEN role = 0 THEN TRUE ELSE pg_has_role(role, 'USAGE') END
        )
    ) END
FROM relations
UNION ALL
SELECT
    'column',
    CAST(attname AS text),
    format_type(atttypid, atttypmod),
    CASE WHEN typtype = 'e' THEN format('%I.%I', nspname, typname) END,
    CAST(attnotnull OR typnotnull AS text),
    CAST(is_filled OR typdefault IS NOT NULL AS text),
    -- pg_column_is_updatable asks for DELETE as well: triggers and rules need not have it.
    CASE
        WHEN relkind = 'v'
            AND NOT pg_column_is_updatable(CAST(relation AS regclass), attnum, TRUE)
            AND pg_relation_is_updatable(CAST(relation AS regclass), FALSE) & 12 = 12
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = relation)
            THEN 'fixed'
        ELSE CAST(is_computed AS text)
    END,
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
    CAST(coninhcount > 0 AS text),
    (
        SELECT string_agg(CAST(named.attname AS text), ',')
        FROM pg_catalog.pg_attribute AS named
        WHERE named.attrelid = conrelid AND named.attnum = ANY (conkey)
    ),
    NULL
FROM columns
JOIN pg_catalog.pg_constraint ON conrelid = relation AND contype = 'c' AND attnum = ANY (conkey) AND 0 <> ALL (conkey)
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
SELECT
    'partition',
    CAST(attname AS text),
    COALESCE(
        (
            SELECT string_agg(COALESCE('(' || NULLIF(pg_get_partition_constraintdef(inhrelid), '') || ')', 'TRUE'), ' OR ')
            FROM pg_catalog.pg_inherits
            WHERE inhparent = columns.relation
        ),
        'FALSE'
    ),
    (SELECT pg_get_expr(adbin, adrelid) FROM pg_catalog.pg_attrdef WHERE adrelid = columns.relation AND adnum = attnum),
    NULL,
    NULL,
    NULL,
    NULL
FROM columns
JOIN pg_catalog.pg_partitioned_table ON partrelid = columns.relation AND partnatts = 1 AND partattrs[0] = attnum
UNION ALL
-- A trigger behind the insertion may add the row.
SELECT
    'reference',
    CAST(conname AS text),
    format('%I.%I', nspname, parent.relname),
    format('%I', pg_attribute.attname),
    NULL,
    NULL,
    NULL,
    NULL
FROM columns
JOIN pg_catalog.pg_constraint ON conrelid = relation AND contype = 'f' AND conkey = ARRAY[attnum]
JOIN pg_catalog.pg_class AS parent ON parent.oid = confrelid AND NOT parent.relrowsecurity
JOIN pg_catalog.pg_namespace ON pg_namespace.oid = parent.relnamespace
JOIN pg_catalog.pg_attribute ON attrelid = confrelid AND pg_attribute.attnum = confkey[1]
WHERE columns.attname = 'status'
    AND to_jsonb(pg_constraint) -> 'conenforced' IS DISTINCT FROM to_jsonb(FALSE)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = relation AND NOT tgisinternal AND tgtype & 66 = 0)
UNION ALL
-- What keeps a repair from a column.
SELECT
    'obstacle',
    CAST(attname AS text),
    change,
    cause,
    NULL,
    NULL,
    NULL,
    NULL
FROM columns
CROSS JOIN LATERAL (
    SELECT
        'column' AS change,
        'it is inherited' AS cause
    WHERE attinhcount > 0
    UNION ALL
    SELECT
        'null',
        'the primary key has it'
    FROM pg_catalog.pg_index
    WHERE indrelid = relation AND indisprimary AND attnum = ANY (indkey)
    UNION ALL
    SELECT
        'type',
        'the partition key may use it'
    FROM pg_catalog.pg_partitioned_table
    WHERE partrelid = relation AND (attnum = ANY (partattrs) OR 0 = ANY (partattrs))
    UNION ALL
    -- Indexes and constraints follow the type.
    SELECT
        'type',
        COALESCE(pg_describe_object(CAST('pg_catalog.pg_class' AS regclass), ev_class, 0), pg_describe_object(classid, objid, objsubid))
        || ' uses it'
    FROM pg_catalog.pg_depend
    LEFT JOIN pg_catalog.pg_rewrite ON classid = CAST('pg_catalog.pg_rewrite' AS regclass) AND pg_rewrite.oid = objid
    LEFT JOIN pg_catalog.pg_attrdef ON classid = CAST('pg_catalog.pg_attrdef' AS regclass) AND pg_attrdef.oid = objid
    WHERE refclassid = CAST('pg_catalog.pg_class' AS regclass)
        AND refobjid = relation
        AND refobjsubid = attnum
        AND (
            classid NOT IN (
                CAST('pg_catalog.pg_class' AS regclass),
                CAST('pg_catalog.pg_constraint' AS regclass),
                CAST('pg_catalog.pg_statistic_ext' AS regclass)
            )
            -- A generated column, before PostgreSQL 15.
            OR (classid = CAST('pg_catalog.pg_class' AS regclass) AND objid = relation AND objsubid > 0)
        )
        AND (adrelid, adnum) IS DISTINCT FROM (relation, attnum)
) AS obstacles
UNION ALL
SELECT
    'obstacle',
    '',
    'column',
    'the table is a partition',
    NULL,
    NULL,
    NULL,
    NULL
FROM relations
JOIN pg_catalog.pg_class ON pg_class.oid = relation AND relispartition
WHERE relations.relname = $3
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
    CAST(tgtype & 16 = 16 AND tgattr = CAST('' AS int2vector) AS text)
FROM relations
JOIN pg_catalog.pg_trigger ON
    (tgrelid = relation OR tgrelid IN (SELECT relid FROM pg_partition_tree(CAST(relation AS regclass))))
    AND NOT tgisinternal
    AND tgenabled IN ('O', 'A')
JOIN pg_catalog.pg_proc ON pg_proc.oid = tgfoid
JOIN pg_catalog.pg_language ON pg_language.oid = prolang
JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
WHERE relations.relname = $3 AND tgtype & 1 = 1 AND tgtype & 20 <> 0 AND tgtype & 66 <> 0
