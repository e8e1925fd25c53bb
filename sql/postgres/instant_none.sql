CAST(NULL AS timestamptz)
