CAST(record.{column} AS double precision)
