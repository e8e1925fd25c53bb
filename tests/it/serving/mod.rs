//! `runwrap serve`.

mod browser;
mod client;
mod database;
mod load;
pub(crate) mod metrics;
mod places;
mod refusing;
mod service;
