//! The facts that `doctor` gathers and judges. Plain data.

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;

use crate::commands::error::CommandError;
use crate::config::SslMode;
use crate::delivery::Waiting;
use crate::store::{Rehearsal, ServerFacts, TableFacts};
use crate::sys::file_system::FileSystem;
use crate::sys::kernel::Kernel;
use crate::sys::limits::Limits;
use crate::sys::lock_trial::LockTrial;

#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) configuration: Configuration,
    pub(super) database: DatabaseFacts,
    pub(super) state: StateFacts,
    pub(super) system: SystemFacts,
}

/// The settings and their origins.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    /// The settings that every run has.
    pub(super) places: Vec<Place>,
    /// The other values that the user gave, as `RUNWRAP_HEARTBEAT=10s`.
    pub(super) given: Vec<String>,
    /// The places below `/tmp`, because there is no home directory.
    pub(super) homeless: Vec<PathBuf>,
}

#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) origin: String,
}

/// An error, and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) detail: String,
    pub(super) repair: String,
}

impl Trouble {
    pub(super) fn of(error: &CommandError) -> Self {
        let detail =
            if let CommandError::Database { source, .. } = error { source.to_string() } else { error.to_string() };
        Self { detail, repair: error.hint().unwrap_or("read the message above").to_owned() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct DatabaseFacts {
    /// Without user and password.
    pub(super) name: String,
    pub(super) start_timeout: Duration,
    /// A run may make and upgrade tables.
    pub(super) migrates: bool,
    /// What leaves this host.
    pub(super) wire: Wire,
    /// The file system of SQLite's file.
    pub(super) file_system: Option<FileSystem>,
    pub(super) answer: Answer,
}

/// The way of a record to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    File,
    /// A socket, or an address of this host.
    Local,
    /// A network, with the least protection that a connection must have.
    Network(Option<SslMode>),
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// SQLite's file does not exist. The error if this user cannot make it.
    NoFile(Option<String>),
    None(Trouble),
    Server(Box<Reached>),
}

/// A database that answered.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    /// Until the connection was open.
    pub(super) took: Duration,
    pub(super) server: ServerFacts,
    /// The database's clock less this host's, and how much that may be off.
    pub(super) ahead: TimeDelta,
    pub(super) uncertainty: Duration,
    pub(super) tables: Result<TableFacts, Trouble>,
    /// `None`: it would have failed for a reason that is known.
    pub(super) rehearsal: Option<Result<(Duration, Rehearsal), Trouble>>,
}

#[derive(Clone, Debug)]
pub(super) struct StateFacts {
    pub(super) path: PathBuf,
    pub(super) limit: Duration,
    /// `None`: its file system did not answer within the limit.
    pub(super) trial: Option<Result<Trial, String>>,
    /// `None`: as above.
    pub(super) waiting: Option<Result<Vec<Waiting>, Trouble>>,
    pub(super) log_file: PathBuf,
    /// Why the log cannot be written.
    pub(super) log_error: Option<String>,
}

/// The state directory, or the directory that it would be made in, in use.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) exists: bool,
    pub(super) file_system: Result<FileSystem, String>,
    /// How long it took to write and sync a file.
    pub(super) written: Result<Duration, String>,
    pub(super) locks: Locks,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    Tried(LockTrial),
    /// The file system supports none.
    Refused,
    /// They could not be tried.
    Unknown(String),
}

#[derive(Clone, Debug)]
pub(super) struct SystemFacts {
    pub(super) kernel: Kernel,
    pub(super) limits: Result<Limits, String>,
    /// At most the number that a run needs.
    pub(super) free_descriptors: usize,
    pub(super) needed_descriptors: usize,
    /// Processes and threads, at most the number that a run needs.
    pub(super) free_tasks: usize,
    pub(super) needed_tasks: usize,
    /// The size of SQLite's file.
    pub(super) database_bytes: Option<u64>,
}
