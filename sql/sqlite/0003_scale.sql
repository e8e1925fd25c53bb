-- What every beginning, recovery and listing asks is answered from an index, however many runs have ended.

-- Up to which id the rows that no run describes have been counted, the highest version among them, and the row that has
-- it: a run that looks for its version writes down what it saw, and the next one reads only what came since.
ALTER TABLE runwrap_runs ADD COLUMN counted_until INTEGER;
ALTER TABLE runwrap_runs ADD COLUMN counted_number INTEGER;
ALTER TABLE runwrap_runs ADD COLUMN counted_id INTEGER;

CREATE INDEX runwrap_runs_counted ON runwrap_runs (record_table, counted_until) WHERE counted_until IS NOT NULL;
CREATE INDEX runwrap_runs_version ON runwrap_runs (record_table, name, CAST(substr(record_version, 2) AS INTEGER))
    WHERE record_version GLOB 'v[0-9]*' AND substr(record_version, 2) NOT GLOB '*[^0-9]*' AND length(record_version) <= 10;
CREATE INDEX runwrap_runs_named ON runwrap_runs (record_table, name, CAST(record_id AS INTEGER));
CREATE INDEX runwrap_runs_number ON runwrap_runs (record_table, CAST(record_id AS INTEGER));
DROP INDEX runwrap_runs_name;
