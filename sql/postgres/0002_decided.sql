-- A record that no run ever watched can be decided about, too, by `recover --stuck-after` or an operator. Its row here
-- says by whom and why; of a run that never was there is nothing to say.
ALTER TABLE {schema}.runwrap_runs
    ALTER COLUMN name DROP NOT NULL,
    ALTER COLUMN command DROP NOT NULL,
    ALTER COLUMN cwd DROP NOT NULL,
    ALTER COLUMN host DROP NOT NULL,
    ALTER COLUMN username DROP NOT NULL,
    ALTER COLUMN context DROP NOT NULL,
    ALTER COLUMN heartbeat_at DROP NOT NULL,
    ALTER COLUMN last_seen_at DROP NOT NULL,
    ALTER COLUMN lease_seconds DROP NOT NULL;
