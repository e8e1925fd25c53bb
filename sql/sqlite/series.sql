-- name: upsert_series
-- $1: the run, $2: the revision, $3: its series. A later reading of the report stays.
INSERT INTO runwrap_series AS series (
    run_id, number, name, revision, per_bucket, total, nan, infinite, negative_infinite,
    x, seconds, value, low, high, others, segment
)
SELECT
    $1,
    new.key + 1,
    json_extract(new.value, '$.name'),
    CAST($2 AS INTEGER),
    json_extract(new.value, '$.per_bucket'),
    json_extract(new.value, '$.total'),
    json_extract(new.value, '$.nan'),
    json_extract(new.value, '$.infinite'),
    json_extract(new.value, '$.negative_infinite'),
    json_extract(new.value, '$.x'),
    json_extract(new.value, '$.seconds'),
    json_extract(new.value, '$.value'),
    json_extract(new.value, '$.low'),
    json_extract(new.value, '$.high'),
    json_extract(new.value, '$.others'),
    json_extract(new.value, '$.segment')
FROM json_each($3) AS new
WHERE TRUE
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
    run_id,
    name,
    per_bucket,
    total,
    nan,
    infinite,
    negative_infinite,
    json_object(
        'x', json(x), 'seconds', json(seconds), 'value', json(value), 'low', json(low), 'high', json(high),
        'others', json(others), 'segment', json(segment)
    )
FROM runwrap_series AS series
WHERE run_id IN ({values})
    AND {condition}
    AND revision = (SELECT max(latest.revision) FROM runwrap_series AS latest WHERE latest.run_id = series.run_id)
ORDER BY run_id, number

-- name: series_names
SELECT
    series.run_id,
    CAST(series.number AS text),
    series.name
FROM runwrap_series AS series
WHERE series.run_id IN ({values})
    AND series.revision = (SELECT max(latest.revision) FROM runwrap_series AS latest WHERE latest.run_id = series.run_id)
ORDER BY series.run_id, series.number

-- name: series_value
-- The values of one series, as a JSON array.
SELECT value
FROM runwrap_series
WHERE run_id = $1 AND number = CAST($2 AS INTEGER)
