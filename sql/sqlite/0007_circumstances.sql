-- The circumstances of a run: the run around it, the job whose attempt it is, its tags, and the files of its output and its model.
ALTER TABLE {schema}.runwrap_runs ADD COLUMN parent_run_id TEXT;
ALTER TABLE {schema}.runwrap_runs ADD COLUMN job TEXT;
-- Counts the runs of a job from 1.
ALTER TABLE {schema}.runwrap_runs ADD COLUMN attempt INTEGER;
ALTER TABLE {schema}.runwrap_runs ADD COLUMN tags TEXT;
ALTER TABLE {schema}.runwrap_runs ADD COLUMN stdout_path TEXT;
ALTER TABLE {schema}.runwrap_runs ADD COLUMN stderr_path TEXT;
-- At the end of the run.
ALTER TABLE {schema}.runwrap_runs ADD COLUMN model_bytes INTEGER;

CREATE INDEX {schema}.runwrap_runs_job ON runwrap_runs (record_table, job, attempt) WHERE job IS NOT NULL;
CREATE INDEX {schema}.runwrap_runs_parent ON runwrap_runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
