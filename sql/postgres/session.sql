-- Bounds are set inside each transaction: a session's own settings would reach the next client of a pooler.
-- The steps of a beginning and of a change each need to see what was committed before them.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = {timeout_ms};
SET LOCAL lock_timeout = {timeout_ms};
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
-- Each statement finds a few rows by an index, where there is one. The planner is not to guess otherwise of a table that
-- nobody has analysed yet, and compiling what it takes for a large one, or starting processes that help, would cost more
-- than the statement.
SET LOCAL enable_seqscan = off;
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
