-- The row's created_at and train_start_time as the run saw it last. A row of the same number in which both differ is another row:
-- the application deleted the run's row, or emptied the table, and its numbers began again.
ALTER TABLE {schema}.runwrap_runs ADD COLUMN row_created_at text;
ALTER TABLE {schema}.runwrap_runs ADD COLUMN row_started_at text;
