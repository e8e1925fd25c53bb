//! The kill matrix: SIGKILL to each process of a run at each named point of `sys::failpoint` leaves exactly one record, and
//! that record is true.

mod cell;
mod matrix;
mod remains;
