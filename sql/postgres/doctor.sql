-- The questions of `doctor` about the server.

-- name: server
SELECT
    concat('PostgreSQL ', current_setting('server_version')),
    CAST(current_user AS text),
    CAST(clock_timestamp() AS text),
    CAST(pg_is_in_recovery() AS text),
    concat_ws(
        ', ',
        CASE WHEN current_setting('fsync', TRUE) = 'off' THEN 'fsync' END,
        CASE WHEN current_setting('full_page_writes', TRUE) = 'off' THEN 'full_page_writes' END,
        CASE WHEN current_setting('synchronous_commit', TRUE) = 'off' THEN 'synchronous_commit' END
    )

-- name: settle
-- A commit checks the deferred constraints, and a rehearsal has no commit.
SET CONSTRAINTS ALL IMMEDIATE
