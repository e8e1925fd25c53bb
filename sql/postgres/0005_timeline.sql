-- After a failover to a standby each run gets a full lease. The timeline changes at each promotion.
CREATE FUNCTION {schema}.runwrap_timeline() RETURNS bigint
LANGUAGE plpgsql STABLE
-- Another schema of the search path must not redirect it.
SET search_path = pg_catalog
AS $function$
BEGIN
    RETURN CASE
        WHEN NOT pg_is_in_recovery()
            THEN CAST(CAST('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8) AS bit(32)) AS bigint)
    END;
EXCEPTION
    -- Some services refuse these functions. The start of the server changes at a failover too, and at each restart.
    WHEN OTHERS THEN
        RETURN -CAST(extract(epoch FROM pg_postmaster_start_time()) AS bigint);
END
$function$;

-- A database may take this right from new functions.
GRANT EXECUTE ON FUNCTION {schema}.runwrap_timeline() TO PUBLIC;

-- The timeline of the last heartbeat.
ALTER TABLE {schema}.runwrap_runs ADD COLUMN timeline bigint;
ALTER TABLE {schema}.runwrap_runs ALTER COLUMN timeline SET DEFAULT {schema}.runwrap_timeline();
