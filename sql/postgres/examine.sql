-- One page of the table, or of the records of its live runs, in the order of its ids: how many records it has, the last of them, and those that may not be
-- well, each with the last run that described it. What is wrong with them is judged by whoever asked.
-- $1: the last id of the page before, or NULL. $2: how many records a page has.
WITH moment AS MATERIALIZED (
    SELECT clock_timestamp() AS now
),
live AS MATERIALIZED ( -- when: examine.live
    SELECT DISTINCT CAST(record_id AS {id.type}) AS id -- when: examine.live
    FROM {runs} -- when: examine.live
    WHERE record_table = {record_table} AND reason IS NULL -- when: examine.live
), -- when: examine.live
page AS MATERIALIZED (
    SELECT
        record.id,
        CAST(record.status AS text) AS status,
        {train_start_time.instant} AS started_at,
        record.train_start_time IS NULL AS start_null, -- when: train_start_time
        TRUE AS start_null, -- when: train_start_time.absent
        {train_end_time.instant} AS ended_at,
        record.train_end_time IS NULL AS end_null, -- when: train_end_time
        TRUE AS end_null, -- when: train_end_time.absent
        {train_duration.seconds} AS seconds,
        record.train_duration IS NULL AS duration_null, -- when: train_duration
        TRUE AS duration_null, -- when: train_duration.absent
        GREATEST({train_start_time.instant}, {created_at.instant}, {updated_at.instant}) AS seen_at
    FROM {table} AS record -- when: examine.all
    FROM live -- when: examine.live
    CROSS JOIN LATERAL ( -- when: examine.live
        SELECT * -- when: examine.live
        FROM {table} AS record -- when: examine.live
        WHERE record.id = live.id -- when: examine.live
        LIMIT 1 -- when: examine.live
    ) AS record -- when: examine.live
    WHERE ($1 IS NULL OR record.id > CAST($1 AS {id.type}))
    ORDER BY record.id
    LIMIT CAST($2 AS bigint)
),
suspicious AS (
    SELECT
        CAST(to_json(page.id) AS text) AS id,
        page.status,
        to_char(page.started_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS started_at,
        CAST(page.start_null AS text) AS start_null,
        to_char(page.ended_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ended_at,
        CAST(page.end_null AS text) AS end_null,
        CAST(page.seconds AS text) AS seconds,
        CAST(page.duration_null AS text) AS duration_null,
        CAST(run.run_id AS text) AS run_id,
        run.reason,
        CAST(run.presumed AS text) AS presumed,
        CAST(
            moment.now > run.heartbeat_at + make_interval(secs => run.lease_seconds)
            AND moment.now >= pg_postmaster_start_time() + make_interval(secs => run.lease_seconds)
            AS text
        ) AS overdue,
        CAST(EXTRACT(EPOCH FROM moment.now - page.seen_at) AS text) AS silent_seconds
    FROM page
    CROSS JOIN moment
    LEFT JOIN LATERAL (
        SELECT *
        FROM {runs} AS runs
        WHERE runs.record_table = {record_table} AND runs.record_id = CAST(page.id AS text)
        ORDER BY runs.run_id DESC
        LIMIT 1
    ) AS run ON TRUE
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
                AND abs(page.seconds - EXTRACT(EPOCH FROM page.ended_at - page.started_at)) <= 1 -- when: duration.known
            )
        ),
        FALSE
    )
)
SELECT
    CAST(whole.read AS text),
    CAST(whole.last AS text),
    suspicious.*
FROM (
    SELECT
        count(*) AS read,
        (
            SELECT id
            FROM page
            ORDER BY id DESC
            LIMIT 1
        ) AS last
    FROM page
) AS whole
LEFT JOIN suspicious ON TRUE
