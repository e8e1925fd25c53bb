-- One page of the table, or of the records of its live runs, in the order of its ids: how many records it has, the last of them, and those that may not be
-- well, each with the last run that described it. What is wrong with them is judged by whoever asked.
WITH page AS MATERIALIZED (
    SELECT
        record.id,
        record.status,
        {train_start_time.instant} AS started_at,
        record.train_start_time IS NULL AS start_null, -- when: train_start_time
        TRUE AS start_null, -- when: train_start_time.absent
        {train_end_time.instant} AS ended_at,
        record.train_end_time IS NULL AS end_null, -- when: train_end_time
        TRUE AS end_null, -- when: train_end_time.absent
        record.train_duration AS seconds, -- when: train_duration
        NULL AS seconds, -- when: train_duration.absent
        record.train_duration IS NULL AS duration_null, -- when: train_duration
        TRUE AS duration_null, -- when: train_duration.absent
        runwrap_latest({train_start_time.instant}, {created_at.instant}, {updated_at.instant}) AS seen_at
    FROM {table} AS record
    WHERE TRUE
        AND record.id > :after -- when: examine.after
        AND record.id IN ( -- when: examine.live
            SELECT run.record_id -- when: examine.live
            FROM {runs} AS run INDEXED BY runwrap_runs_live -- when: examine.live
            WHERE run.record_table = {record_table} AND run.reason IS NULL -- when: examine.live
        ) -- when: examine.live
    ORDER BY record.id
    LIMIT :limit
),
suspicious AS (
    SELECT
        page.id,
        page.status,
        page.started_at,
        page.start_null,
        page.ended_at,
        page.end_null,
        page.seconds,
        page.duration_null,
        run.run_id,
        run.reason,
        run.presumed,
        strftime('%Y-%m-%d %H:%M:%f', 'now')
            > strftime('%Y-%m-%d %H:%M:%f', run.heartbeat_at, '+' || run.lease_seconds || ' seconds') AS overdue,
        (julianday('now') - julianday(page.seen_at)) * 86400 AS silent_seconds
    FROM page
    LEFT JOIN {runs} AS run ON run.run_id = (
        SELECT max(last.run_id)
        FROM {runs} AS last
        WHERE last.record_table = {record_table} AND last.record_id = CAST(page.id AS TEXT)
    )
    WHERE NOT COALESCE(
        page.status IN ('completed', 'failed')
        AND (
            FALSE
            OR page.start_null -- when: train_start_time
            OR (
                TRUE
                AND NOT page.end_null -- when: train_end_time
                AND NOT page.duration_null -- when: train_duration
                AND page.ended_at >= page.started_at -- when: times.known
                AND NOT runwrap_is_off(page.started_at, page.ended_at, page.seconds) -- when: duration.known
            )
        ),
        FALSE
    )
)
SELECT
    whole.read,
    CAST(whole.last AS TEXT),
    suspicious.*
FROM (
    SELECT
        count(*) AS read,
        max(id) AS last
    FROM page
) AS whole
LEFT JOIN suspicious ON TRUE
