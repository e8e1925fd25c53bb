CAST(
    CASE jsonb_typeof(CAST(record.train_metrics AS jsonb))
        WHEN 'object' THEN CAST(record.train_metrics AS jsonb) || CAST(given.metrics AS jsonb)
        ELSE CAST(given.metrics AS jsonb)
    END AS {train_metrics.type}
)
