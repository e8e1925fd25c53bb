//! `runwrap serve`.

mod browser;
mod client;
mod database;
mod load;
mod metrics;
mod places;
mod refusing;
mod service;
