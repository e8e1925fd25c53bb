//! What the tests stand on: servers that are really there and end with the tests. Must not assert anything about
//! runwrap. Called by every module of the integration tests.

pub(crate) mod container;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod procfs;
pub(crate) mod proxy;
pub(crate) mod release;
pub(crate) mod site;
pub(crate) mod terminal;
pub(crate) mod tmpfs;
pub(crate) mod wait;

/// Says that a test did not run, past the harness, which hides what a test prints that does not fail.
pub(crate) fn skipped(why: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}
