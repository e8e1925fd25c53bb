-- How many records there are, as the planner takes it; -1 where nobody has counted yet. $1: the table.
SELECT CAST(CAST(reltuples AS bigint) AS text)
FROM pg_catalog.pg_class
WHERE oid = to_regclass($1)
