-- Of all runs of one name that look for their version only one looks at a time, until its row is there to be seen.
SELECT CAST(pg_advisory_xact_lock(hashtextextended({lock}, 0)) AS text)
