-- The newest records, each with the last run that described it. Those of a name are found by their runs, where the ids
-- are integers. $1: a status or NULL. $2: a name or NULL. $3: how many.
SELECT
    CAST(row_to_json(record.*) AS text),
    CAST(row_to_json(run.*) AS text),
    CAST(EXTRACT(EPOCH FROM clock_timestamp() - run.heartbeat_at) AS text)
FROM {table} AS record -- when: list.all
FROM ( -- when: list.named
    SELECT run_id, {record_number} AS number -- when: list.named
    FROM {runs} -- when: list.named
    WHERE record_table = {record_table} AND name = $2 -- when: list.named
) AS named -- when: list.named
JOIN {table} AS record ON record.id = named.number -- when: list.named
LEFT JOIN LATERAL (
    SELECT *
    FROM {runs} AS runs
    WHERE runs.record_table = {record_table} AND runs.record_id = CAST(record.id AS text)
    ORDER BY runs.run_id DESC
    LIMIT 1
) AS run ON TRUE
WHERE ($1 IS NULL OR CAST(record.status AS text) = $1)
    AND ($2 IS NULL OR run.name = $2) -- when: list.all
    AND run.run_id = named.run_id -- when: list.named
ORDER BY
    record.train_start_time DESC NULLS LAST, -- when: id.unordered
    record.id DESC -- when: list.all
    named.number DESC -- when: list.named
LIMIT CAST($3 AS bigint)
