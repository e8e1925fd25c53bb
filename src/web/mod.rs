//! The service of `runwrap serve`: pages, API and metrics over HTTP. Reads records and changes none; the recovery beside it is the
//! caller's.

pub mod look;
pub(crate) mod pages;
