-- When the command of `--on-finish` was started for the run's end: it is started once.
ALTER TABLE runwrap_runs ADD COLUMN notified_at TEXT;
