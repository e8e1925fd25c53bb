-- What every beginning, recovery and listing asks is answered from an index, however many runs have ended. No index has
-- a column that a heartbeat changes: see 0001.

-- Up to which id the rows that no run describes have been counted, the highest version among them, and the row that has
-- it: a run that looks for its version writes down what it saw, and the next one reads only what came since.
ALTER TABLE {schema}.runwrap_runs
    ADD COLUMN counted_until bigint,
    ADD COLUMN counted_number bigint,
    ADD COLUMN counted_id bigint;

CREATE INDEX runwrap_runs_counted ON {schema}.runwrap_runs (record_table, counted_until) WHERE counted_until IS NOT NULL;
CREATE INDEX runwrap_runs_version ON {schema}.runwrap_runs (record_table, name, CAST(substr(record_version, 2) AS bigint))
    WHERE record_version ~ '^v[0-9]{1,9}$';
CREATE INDEX runwrap_runs_named ON {schema}.runwrap_runs (record_table, name, (
    CASE
        WHEN record_id ~ '^-?[0-9]{1,19}$'
        THEN CASE
            WHEN CAST(record_id AS numeric) BETWEEN -9223372036854775807 AND 9223372036854775807
            THEN CAST(record_id AS bigint)
        END
    END
));
DROP INDEX {schema}.runwrap_runs_name;
