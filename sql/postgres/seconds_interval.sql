CAST(EXTRACT(EPOCH FROM record.{column}) AS double precision)
