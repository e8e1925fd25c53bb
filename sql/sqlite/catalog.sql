-- The columns of a table; none where it does not exist.
SELECT
    name,
    type,
    dflt_value IS NOT NULL OR (pk = 1 AND upper(type) = 'INTEGER') AS has_default
FROM pragma_table_info(:table)
ORDER BY cid
