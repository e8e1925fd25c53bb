//! The map of the crate. Imports run downwards only; `tests/tidy.rs` holds it:
//!
//! ```text
//! main > cli > commands > supervisor | keeper > delivery > journal | store | link > record | sys | config
//! ```
//!
//! - [`cli`]: from the words of a command line to an invocation of a verb.
//! - [`commands`]: the verbs, their errors and exit statuses.
//! - [`record`]: what a run is, how it ends and how two accounts of it are merged. Pure.
//! - [`config`]: flag > environment > file > default, every value with its origin.
//! - [`sys`]: the operating system, the only `unsafe`.
//! - [`store`]: the two databases behind one trait.
//! - [`logging`]: what runwrap says of its own work, to a file and to stderr.
//! - [`output`]: tables, JSON, human durations.

pub mod cli;
pub mod commands;
pub mod config;
pub mod delivery;
pub mod journal;
pub mod keeper;
pub mod link;
pub mod logging;
pub mod output;
pub mod record;
pub mod store;
pub mod supervisor;
pub mod sys;
