CASE
    WHEN CAST(record.{column} AS text) ~ '^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?)?$'
    THEN CAST(CAST(record.{column} AS text) AS timestamptz)
END
