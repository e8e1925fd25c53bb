CASE
    WHEN record_id ~ '^-?[0-9]{1,19}$'
    THEN CASE
        WHEN CAST(record_id AS numeric) BETWEEN -9223372036854775807 AND 9223372036854775807
        THEN CAST(record_id AS bigint)
    END
END
