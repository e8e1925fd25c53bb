-- What every beginning, recovery and listing asks is answered from an index, however many runs have ended. No index has
-- a column that a heartbeat changes: see 0001.

-- Up to which id the rows that no run describes have been counted, the highest version among them, and the row that has
-- it: a run that looks for its version writes down what it saw, and the next one reads only what came since.
ALTER TABLE {runs}
    ADD COLUMN counted_until bigint,
    ADD COLUMN counted_number bigint,
    ADD COLUMN counted_id bigint;

CREATE INDEX runwrap_runs_counted ON {runs} (record_table, counted_until) WHERE counted_until IS NOT NULL;
CREATE INDEX runwrap_runs_version ON {runs} (record_table, name, CAST(substr(record_version, 2) AS bigint))
    WHERE record_version ~ '^v[0-9]{1,9}$';
CREATE INDEX runwrap_runs_named ON {runs} (record_table, name, (
{record_number}
));
DROP INDEX {runs_name};
