-- The records in training that nothing watches, without a sign of life for :silent_seconds, each with its model's path
-- where no later record has the same: what was written there since would be that one's. Whoever acts on it judges again
-- in the statement that writes.
WITH suspect AS MATERIALIZED (
    SELECT
        record.id,
        record.model_path -- when: model_path
        NULL AS model_path -- when: model_path.absent
    FROM {table} AS record
    WHERE record.status = 'training'
        AND strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || :silent_seconds || ' seconds')
            > runwrap_latest({train_start_time.instant}, {created_at.instant}, {updated_at.instant})
        AND NOT EXISTS (
            SELECT 1
            FROM {runs} AS run
            WHERE run.record_table = {record_table}
                AND run.record_id = CAST(record.id AS TEXT)
                AND run.reason IS NOT 'stuck'
        )
)
SELECT
    CAST(judged.id AS TEXT),
    CAST(judged.model_path AS TEXT)
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
        WHERE record.model_path IN (SELECT model_path FROM suspect) -- when: model_path
    ) AS written -- when: model_path
    WHERE written.id IN (SELECT id FROM suspect) -- when: model_path
) AS judged
ORDER BY judged.id
