-- Which migration was the last, and which was the last that an older program must not work with.
SELECT
    CAST(max(number) AS text),
    CAST(max(number) FILTER (WHERE breaking) AS text)
FROM {migrations}
