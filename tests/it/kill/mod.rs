//! The kill matrix: whoever is killed, at whatever point of a run, the run has exactly one record, and that record is true.
//! SIGKILL to real processes at the named points of `sys::failpoint`, and by system-call injection into the release binary.

mod cell;
mod matrix;
mod remains;
