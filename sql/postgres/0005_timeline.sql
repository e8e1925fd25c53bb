-- After a failover to a standby each run gets a full lease. The timeline changes at each promotion.
DO $do$
BEGIN
    IF NOT has_function_privilege('public', 'pg_catalog.pg_walfile_name(pg_lsn)', 'EXECUTE')
        OR NOT has_function_privilege('public', 'pg_catalog.pg_current_wal_lsn()', 'EXECUTE')
    THEN
        RAISE 'the role may not read the timeline';
    END IF;
    IF NOT pg_is_in_recovery() THEN
        PERFORM pg_walfile_name(pg_current_wal_lsn());
    END IF;
    -- Inlined into each statement: it costs a new connection a third of what PL/pgSQL does.
    CREATE FUNCTION {schema}.runwrap_timeline() RETURNS bigint
    LANGUAGE sql STABLE
    AS $function$
        SELECT CASE
            WHEN NOT pg_catalog.pg_is_in_recovery()
                THEN CAST(CAST(pg_catalog.concat('x', pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)) AS pg_catalog.bit(32)) AS pg_catalog.int8)
        END
    $function$;
EXCEPTION
    -- Some services refuse these functions. The start of the server changes at a failover too, and at each restart.
    WHEN OTHERS THEN
        CREATE FUNCTION {schema}.runwrap_timeline() RETURNS bigint
        LANGUAGE sql STABLE
        AS $function$
            SELECT -CAST(EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) AS pg_catalog.int8)
        $function$;
END
$do$;

-- A database may take this right from new functions.
GRANT EXECUTE ON FUNCTION {schema}.runwrap_timeline() TO PUBLIC;

-- The timeline of the last heartbeat.
ALTER TABLE {schema}.runwrap_runs ADD COLUMN timeline bigint;
ALTER TABLE {schema}.runwrap_runs ALTER COLUMN timeline SET DEFAULT {schema}.runwrap_timeline();
