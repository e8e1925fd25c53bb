-- Versions by a counter instead of a search. An index on a name is bounded: a B-tree entry has at most about 2,700 bytes.
CREATE TABLE {schema}.runwrap_versions (
    record_table text NOT NULL,
    -- Empty: the base of the table.
    name text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (record_table, name)
);

DROP INDEX {schema}.runwrap_runs_counted;
DROP INDEX {schema}.runwrap_runs_version;
DROP INDEX {schema}.runwrap_runs_named;
ALTER TABLE {schema}.runwrap_runs
    DROP COLUMN counted_until,
    DROP COLUMN counted_number,
    DROP COLUMN counted_id,
    -- When the run got its record, by this database's clock: of several runs the last one owns it.
    ADD COLUMN tied_at timestamptz;
ALTER TABLE {schema}.runwrap_runs ALTER COLUMN tied_at SET DEFAULT clock_timestamp();

CREATE INDEX runwrap_runs_named ON {schema}.runwrap_runs (record_table, left(name, 200), run_id);
