-- When the command of `--on-finish` was started for the run's end: it is started once.
ALTER TABLE {schema}.runwrap_runs ADD COLUMN IF NOT EXISTS notified_at timestamptz;
