-- The history of reported metrics: a row per run and metric, of bounded size. See `runwrap_points` for the values one by one.
CREATE TABLE IF NOT EXISTS runwrap_series (
    run_id TEXT NOT NULL,
    -- The order of the names in the report, from 1.
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    -- Which reading of the report the series is: the rows of a run with a lower one than its highest are of a rewritten report.
    revision INTEGER NOT NULL,
    -- How many values each bucket but the last has, and how many values there are.
    per_bucket INTEGER NOT NULL,
    total INTEGER NOT NULL,
    nan INTEGER NOT NULL,
    infinite INTEGER NOT NULL,
    negative_infinite INTEGER NOT NULL,
    -- JSON arrays with a bucket each: x, seconds since the beginning and value of its last number, its least and greatest number; how
    -- many values are no numbers, and how often x has fallen before, since the run was resumed: empty if each is 0.
    x TEXT NOT NULL,
    seconds TEXT NOT NULL,
    value TEXT NOT NULL,
    low TEXT NOT NULL,
    high TEXT NOT NULL,
    others TEXT NOT NULL,
    segment TEXT NOT NULL,
    PRIMARY KEY (run_id, number)
);

CREATE VIEW IF NOT EXISTS runwrap_points AS
SELECT
    series.run_id,
    series.name,
    CAST(json_extract(series.x, '$[' || point.key || ']') AS REAL) AS x,
    CAST(json_extract(series.seconds, '$[' || point.key || ']') AS REAL) AS seconds,
    CAST(point.value AS REAL) AS value,
    CAST(json_extract(series.low, '$[' || point.key || ']') AS REAL) AS low,
    CAST(json_extract(series.high, '$[' || point.key || ']') AS REAL) AS high
FROM runwrap_series AS series
CROSS JOIN json_each(series.value) AS point
WHERE point.value IS NOT NULL
    AND series.revision = (SELECT max(latest.revision) FROM runwrap_series AS latest WHERE latest.run_id = series.run_id)
ORDER BY series.run_id, series.number, point.key;
