//! The map of the crate. Imports run downwards only; `tests/tidy.rs` holds it:
//!
//! ```text
//! main > cli > commands > web | supervisor | keeper > delivery > journal | store | link > logging > config > record | output | libpq | sys
//! ```
//!
//! - [`cli`]: the command line, parsed into an invocation of a verb.
//! - [`commands`]: the verbs, their errors and exit statuses.
//! - [`web`]: the service of `runwrap serve`: pages, API, metrics. It changes no record.
//! - [`supervisor`]: the process that the user started. It runs the trainer and opens no database.
//! - [`keeper`]: the process that owns all database I/O, and finalizes if the supervisor cannot.
//! - [`delivery`]: the one path from a journal to a database.
//! - `journal`: the events of a run, on disk before any process acts on them.
//! - [`store`]: one store over a narrow session, which PostgreSQL and SQLite implement.
//! - [`link`]: the messages between supervisor and keeper.
//! - `logging`: the log file and the messages on stderr.
//! - [`record`]: what a run is, how it ends and the rules that merge its events. Pure.
//! - [`config`]: flag > environment > file > default, every value with its origin.
//! - `output`: tables, JSON, human durations. Only `commands`, `web`, `cli`, `main` and `logging` may use it.
//! - [`libpq`]: the conventions of PostgreSQL's client library, and every default of a connection. Pure.
//! - [`sys`]: the operating system, the only `unsafe`.

pub mod cli;
pub mod commands;
pub mod config;
pub mod delivery;
mod journal;
pub mod keeper;
pub mod libpq;
pub mod link;
mod logging;
mod output;
pub mod record;
pub mod store;
pub mod supervisor;
pub mod sys;
pub mod web;
