CAST(CAST(GREATEST(CAST(trunc(EXTRACT(EPOCH FROM ruled.ended_at - ruled.started_at)) AS bigint), 0) AS text) AS {train_duration.type})
