-- The records in training that nothing watches, without a sign of life for :silent_seconds, each with its model's path
-- where no later record has the same: what was written there since would be that one's. Whoever acts on it judges again
-- in the statement that writes.
WITH suspect AS MATERIALIZED (
    SELECT
        record.id,
        record.model_path, -- when: model_path
        {train_start_time.instant} AS started_at
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
), -- when: model_path
written AS MATERIALIZED ( -- when: model_path
    SELECT -- when: model_path
        record.model_path, -- when: model_path
        max({train_start_time.instant}) AS started_at -- when: model_path
    FROM {table} AS record -- when: model_path
    WHERE record.model_path IN (SELECT model_path FROM suspect) -- when: model_path
    GROUP BY record.model_path -- when: model_path
) -- when: model_path
) -- when: model_path.absent
SELECT
    CAST(suspect.id AS TEXT),
    NULL -- when: model_path.absent
    CASE -- when: model_path
        WHEN NOT COALESCE(written.started_at > suspect.started_at, FALSE) -- when: model_path
        THEN CAST(suspect.model_path AS TEXT) -- when: model_path
    END -- when: model_path
FROM suspect
LEFT JOIN written ON written.model_path = suspect.model_path -- when: model_path
ORDER BY suspect.id
