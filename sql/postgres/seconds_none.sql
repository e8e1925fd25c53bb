CAST(NULL AS double precision)
