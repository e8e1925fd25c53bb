-- The records in training that nothing watches, without a sign of life for $1 seconds, each with its model's path where
-- no later record has the same: what was written there since would be that one's. Whoever acts on it judges again in the
-- statement that writes.
WITH moment AS MATERIALIZED (
    SELECT clock_timestamp() AS now
),
suspect AS MATERIALIZED (
    SELECT
        record.id,
        record.model_path -- when: model_path
        NULL AS model_path -- when: model_path.absent
    FROM {table} AS record, moment
    WHERE record.status = CAST('training' AS {status.type})
        AND moment.now
            > GREATEST({train_start_time.instant}, {created_at.instant}, {updated_at.instant})
                + make_interval(secs => CAST($1 AS double precision))
        AND NOT EXISTS (
            SELECT
            FROM {runs} AS runs
            WHERE runs.record_table = {record_table}
                AND runs.record_id = CAST(record.id AS text)
                AND runs.reason IS DISTINCT FROM 'stuck'
        )
)
SELECT
    CAST(judged.id AS text),
    CAST(judged.model_path AS text)
FROM (
    SELECT
        suspect.id,
        suspect.model_path
    FROM suspect
    WHERE suspect.model_path IS NULL
    UNION ALL -- when: model_path
    SELECT -- when: model_path
        written.id, -- when: model_path
        CASE WHEN NOT COALESCE(written.last_started_at > written.started_at, FALSE) THEN written.model_path END -- when: model_path
    FROM ( -- when: model_path
        SELECT -- when: model_path
            record.id, -- when: model_path
            record.model_path, -- when: model_path
            {train_start_time.instant} AS started_at, -- when: model_path
            max({train_start_time.instant}) OVER (PARTITION BY record.model_path) AS last_started_at -- when: model_path
        FROM {table} AS record -- when: model_path
        -- One look for all of them, with an index or without.
        WHERE record.model_path = ANY(ARRAY(SELECT model_path FROM suspect)) -- when: model_path
    ) AS written -- when: model_path
    WHERE written.id = ANY(ARRAY(SELECT id FROM suspect)) -- when: model_path
) AS judged
ORDER BY judged.id
