-- Which migration was the last, and which was the last that an older program must not work with.
SELECT
    max(number),
    max(number) FILTER (WHERE breaking)
FROM {migrations}
