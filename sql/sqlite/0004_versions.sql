-- Versions by a counter instead of a search.
CREATE TABLE runwrap_versions (
    record_table TEXT NOT NULL,
    -- Empty: the base of the table.
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (record_table, name)
);

DROP INDEX runwrap_runs_counted;
DROP INDEX runwrap_runs_version;
DROP INDEX runwrap_runs_named;
ALTER TABLE runwrap_runs DROP COLUMN counted_until;
ALTER TABLE runwrap_runs DROP COLUMN counted_number;
ALTER TABLE runwrap_runs DROP COLUMN counted_id;
-- When the run got its record, by this database's clock: of several runs the last one owns it.
ALTER TABLE runwrap_runs ADD COLUMN tied_at TEXT;

CREATE INDEX runwrap_runs_named ON runwrap_runs (record_table, name, run_id);
