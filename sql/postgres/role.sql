-- What kind of server this is, for target_session_attrs.
SELECT
    CAST(pg_is_in_recovery() AS text),
    current_setting('transaction_read_only')
