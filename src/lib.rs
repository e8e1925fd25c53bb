//! The map of the crate. Imports run downwards only; `tests/tidy.rs` holds it:
//!
//! ```text
//! main > cli > commands > supervisor | keeper > delivery > journal | store | link > logging > config > record | output | libpq | sys
//! ```
//!
//! - [`cli`]: from the words of a command line to an invocation of a verb.
//! - [`commands`]: the verbs, their errors and exit statuses.
//! - [`supervisor`]: the process that the user started: it runs the trainer and knows no database.
//! - [`keeper`]: the process that speaks to the database, and finalizes if the supervisor cannot.
//! - [`delivery`]: the one way from a journal to a database.
//! - [`journal`]: what is known of a run, on disk before anyone is told of it.
//! - [`store`]: the two databases behind one trait.
//! - [`link`]: what supervisor and keeper say to each other.
//! - [`logging`]: what runwrap says of its own work, to a file and to stderr.
//! - [`record`]: what a run is, how it ends and how two accounts of it are merged. Pure.
//! - [`config`]: flag > environment > file > default, every value with its origin.
//! - [`output`]: tables, JSON, human durations; only `commands`, `cli`, `main` and `logging` may use it.
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
