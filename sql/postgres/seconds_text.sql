CASE WHEN CAST(record.{column} AS text) ~ '^[+-]?\d{1,15}(\.\d+)?$' THEN CAST(CAST(record.{column} AS text) AS double precision) END
