CAST(CAST(given.metrics AS text) AS {train_metrics.type})
