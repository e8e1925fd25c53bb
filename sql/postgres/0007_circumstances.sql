-- The circumstances of a run: the run around it, the job whose attempt it is, its tags, and the files of its output and its model.
ALTER TABLE {schema}.runwrap_runs
    ADD COLUMN parent_run_id uuid,
    ADD COLUMN job text,
    -- Counts the runs of a job from 1.
    ADD COLUMN attempt integer,
    ADD COLUMN tags jsonb,
    ADD COLUMN stdout_path text,
    ADD COLUMN stderr_path text,
    -- At the end of the run.
    ADD COLUMN model_bytes bigint;

CREATE INDEX runwrap_runs_job ON {schema}.runwrap_runs (record_table, job, attempt) WHERE job IS NOT NULL;
CREATE INDEX runwrap_runs_parent ON {schema}.runwrap_runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
