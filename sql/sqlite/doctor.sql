-- The questions of `doctor` about the file.

-- name: server
SELECT
    'SQLite ' || sqlite_version(),
    NULL,
    strftime('%Y-%m-%d %H:%M:%f', 'now'),
    'false',
    ''
