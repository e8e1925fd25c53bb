-- Bounds are set inside each transaction: a session's own settings would reach the next client of a pooler.
BEGIN;
SET LOCAL statement_timeout = {timeout_ms};
SET LOCAL lock_timeout = {timeout_ms};
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
