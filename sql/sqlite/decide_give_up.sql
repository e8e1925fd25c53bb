-- A record that has been in training for too long without a sign of life, and that nothing watches.
UPDATE {table} AS record
SET
    train_end_time = COALESCE(ruled.ended_at, record.train_end_time), -- when: train_end_time
    train_duration = COALESCE(runwrap_elapsed_seconds(ruled.started_at, ruled.ended_at), record.train_duration), -- when: train_duration
    error_message = COALESCE(record.error_message || '; ', '') -- when: error_message
        || CASE WHEN ruled.known_at IS NOT NULL THEN :known WHEN ruled.ended_at IS NOT NULL THEN :assumed ELSE :unknown END, -- when: error_message
    status = 'failed'
FROM (
    SELECT
        proven.id,
        proven.started_at,
        proven.known_at,
        COALESCE(proven.known_at, CASE WHEN :assume_now THEN proven.now END) AS ended_at
    FROM (
        -- What is as old as the row itself says nothing of how long it lived, and what is to come is no sign.
        SELECT
            found.id,
            found.started_at,
            found.now,
            COALESCE(
                found.ended_at,
                runwrap_latest(
                    CASE
                        WHEN found.updated_at <= found.now
                            AND (found.born_at IS NULL OR runwrap_elapsed_seconds(found.born_at, found.updated_at) >= 1)
                        THEN found.updated_at
                    END,
                    CASE
                        WHEN :model_written_at <= found.now
                            AND (found.born_at IS NULL OR runwrap_elapsed_seconds(found.born_at, :model_written_at) >= 1)
                        THEN :model_written_at
                    END
                )
            ) AS known_at
        FROM (
            SELECT
                record.id,
                {train_start_time.instant} AS started_at,
                {train_end_time.instant} AS ended_at,
                {updated_at.instant} AS updated_at,
                runwrap_latest({train_start_time.instant}, {created_at.instant}) AS born_at,
                strftime('%Y-%m-%d %H:%M:%f', 'now') AS now
            FROM {table} AS record
            WHERE record.id = :record_id
                AND record.status = 'training'
                -- What was given up once, and the application has opened again, may be given up again.
                AND NOT EXISTS (
                    SELECT 1
                    FROM {runs} AS run
                    WHERE run.record_table = {record_table}
                        AND run.record_id = :record_id
                        AND run.reason IS NOT 'stuck'
                )
        ) AS found
        WHERE strftime('%Y-%m-%d %H:%M:%f', found.now, '-' || :silent_seconds || ' seconds')
            > runwrap_latest(found.born_at, found.updated_at)
    ) AS proven
) AS ruled
WHERE record.id = ruled.id
