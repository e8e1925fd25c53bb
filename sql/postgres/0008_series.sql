-- The history of reported metrics: a row per run and metric, of bounded size. See `runwrap_points` for the values one by one.
CREATE TABLE IF NOT EXISTS {schema}.runwrap_series (
    run_id uuid NOT NULL,
    -- The order of the names in the report, from 1. A name may be too long for an index.
    number integer NOT NULL,
    name text NOT NULL,
    -- Which reading of the report the series is: the rows of a run with a lower one than its highest are of a rewritten report.
    revision bigint NOT NULL,
    -- How many values each bucket but the last has, and how many values there are.
    per_bucket bigint NOT NULL,
    total bigint NOT NULL,
    nan bigint NOT NULL,
    infinite bigint NOT NULL,
    negative_infinite bigint NOT NULL,
    -- A bucket each: x, seconds since the beginning and value of its last number, its least and greatest number; how many values are
    -- no numbers, and how often x has fallen before, since the run was resumed: empty if each is 0.
    x double precision[] NOT NULL,
    seconds double precision[] NOT NULL,
    value double precision[] NOT NULL,
    low double precision[] NOT NULL,
    high double precision[] NOT NULL,
    others bigint[] NOT NULL,
    segment bigint[] NOT NULL,
    PRIMARY KEY (run_id, number)
);

CREATE OR REPLACE VIEW {schema}.runwrap_points AS
SELECT
    series.run_id,
    series.name,
    point.x,
    point.seconds,
    point.value,
    point.low,
    point.high
FROM {schema}.runwrap_series AS series
CROSS JOIN LATERAL unnest(series.x, series.seconds, series.value, series.low, series.high) WITH ORDINALITY
    AS point (x, seconds, value, low, high, position)
WHERE point.value IS NOT NULL
    AND series.revision = (SELECT max(latest.revision) FROM {schema}.runwrap_series AS latest WHERE latest.run_id = series.run_id)
ORDER BY series.run_id, series.number, point.position;
