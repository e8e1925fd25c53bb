-- name: begin
-- Bounds are set inside each transaction: a session's own settings would reach the next client of a pooler.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = {timeout_ms};
-- A heartbeat that meets a lock on the user's row is sent again without that row.
SET LOCAL lock_timeout = {lock_timeout_ms};
-- A frozen client holds its locks no longer than this.
SET LOCAL idle_in_transaction_session_timeout = {timeout_ms};
-- As UTC, but the server reads no file for it.
SET LOCAL TimeZone = 'GMT';
SET LOCAL DateStyle = 'ISO';
-- Each statement finds a few rows by an index, if there is one. Without statistics the planner may guess otherwise, and JIT or
-- parallel workers would cost more than the statement.
SET LOCAL enable_seqscan = off;
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0

-- name: begin_renew
-- Begins the transaction of `renew`, which its message also commits: no client can freeze within it, so no idle timeout. The bounds stay,
-- and the isolation, in which an update that waited for a lock sees the row anew. The statement needs no other setting: its instant has
-- a zone and is ISO, it returns no date, and it finds one row by the primary key, whose uniqueness the planner sees without statistics.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = {timeout_ms};
SET LOCAL lock_timeout = {lock_timeout_ms}

-- name: clock
SELECT
    CAST(clock_timestamp() AS text),
    CAST(pg_postmaster_start_time() AS text),
    CAST({schema}.runwrap_timeline() AS text)
