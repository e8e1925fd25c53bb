-- Bounds are set inside each transaction: a session's own settings would reach the next client of a pooler.
-- The steps of a beginning and of a change each need to see what was committed before them.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = {timeout_ms};
SET LOCAL lock_timeout = {timeout_ms};
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
-- Each statement reads a few rows. Compiling one, as the server does where it expects many, would cost more than that.
SET LOCAL jit = off;
