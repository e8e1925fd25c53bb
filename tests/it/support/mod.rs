//! Real servers, containers, terminals and sites for the tests, which end with the tests. Must not assert anything about
//! runwrap.

pub(crate) mod building;
pub(crate) mod container;
pub(crate) mod page;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod procfs;
pub(crate) mod proxy;
pub(crate) mod release;
pub(crate) mod site;
pub(crate) mod terminal;
pub(crate) mod tmpfs;
pub(crate) mod wait;
pub(crate) mod web;

/// Reports a skipped test on the real stderr: the harness hides the output of a test that passes.
pub(crate) fn skipped(why: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}
