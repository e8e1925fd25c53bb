-- The columns of a table; none where it does not exist.
SELECT
    name,
    type,
    dflt_value IS NOT NULL OR (pk = 1 AND upper(type) = 'INTEGER') AS has_default,
    hidden > 1 AS computed
FROM pragma_table_xinfo(:table)
-- What `SELECT *` shows.
WHERE hidden <> 1
ORDER BY cid
