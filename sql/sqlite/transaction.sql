-- name: clock
-- A file is always up.
SELECT
    strftime('%Y-%m-%d %H:%M:%f', 'now'),
    '1970-01-01 00:00:00',
    NULL
