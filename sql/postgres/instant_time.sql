CASE WHEN isfinite(record.{column}) THEN CAST(record.{column} AS timestamptz) END
