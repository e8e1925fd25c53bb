-- Always NULL: SQLite has no standbys. The statements of both databases name the same columns.
ALTER TABLE {schema}.runwrap_runs ADD COLUMN timeline INTEGER;
