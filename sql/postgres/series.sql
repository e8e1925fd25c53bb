-- name: upsert_series
-- $1: the run, $2: the revision, $3: its series. A later reading of the report stays.
INSERT INTO {schema}.runwrap_series AS series (
    run_id, number, name, revision, per_bucket, total, nan, infinite, negative_infinite,
    x, seconds, value, low, high, others, segment
)
SELECT
    CAST($1 AS uuid), new.number, new.name, CAST($2 AS bigint), new.per_bucket, new.total, new.nan, new.infinite, new.negative_infinite,
    new.x, new.seconds, new.value, new.low, new.high, new.others, new.segment
FROM ROWS FROM (
    jsonb_to_recordset(CAST($3 AS jsonb)) AS (
        name text, per_bucket bigint, total bigint, nan bigint, infinite bigint, negative_infinite bigint,
        x double precision[], seconds double precision[], value double precision[], low double precision[], high double precision[],
        others bigint[], segment bigint[]
    )
) WITH ORDINALITY AS new (
    name, per_bucket, total, nan, infinite, negative_infinite, x, seconds, value, low, high, others, segment, number
)
ON CONFLICT (run_id, number) DO UPDATE
SET
    name = excluded.name,
    revision = excluded.revision,
    per_bucket = excluded.per_bucket,
    total = excluded.total,
    nan = excluded.nan,
    infinite = excluded.infinite,
    negative_infinite = excluded.negative_infinite,
    x = excluded.x,
    seconds = excluded.seconds,
    value = excluded.value,
    low = excluded.low,
    high = excluded.high,
    others = excluded.others,
    segment = excluded.segment
WHERE series.revision < excluded.revision

-- name: series_of_runs
SELECT
    run_id::text,
    name,
    per_bucket::text,
    total::text,
    nan::text,
    infinite::text,
    negative_infinite::text,
    json_build_object(
        'x', x, 'seconds', seconds, 'value', value, 'low', low, 'high', high, 'others', others, 'segment', segment
    )::text
FROM {schema}.runwrap_series AS series
WHERE run_id IN ({values})
    AND {condition}
    AND revision = (SELECT max(latest.revision) FROM {schema}.runwrap_series AS latest WHERE latest.run_id = series.run_id)
ORDER BY run_id, number

-- name: series_names
SELECT
    CAST(series.run_id AS text),
    CAST(series.number AS text),
    series.name
FROM {schema}.runwrap_series AS series
WHERE series.run_id IN ({values})
    AND series.revision = (SELECT max(latest.revision) FROM {schema}.runwrap_series AS latest WHERE latest.run_id = series.run_id)
ORDER BY series.run_id, series.number

-- name: series_value
-- The values of one series, as a JSON array.
SELECT CAST(to_json(value) AS text)
FROM {schema}.runwrap_series
WHERE run_id = $1 AND number = CAST($2 AS integer)
