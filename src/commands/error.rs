//! The error of the verbs, with its hint and its exit status.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::report::ReportError;
use crate::config::ConfigError;
use crate::keeper::KeeperError;
use crate::store::StoreError;
use crate::supervisor::EXIT_RUNWRAP;
use crate::web::Listen;

/// Exit status: there is no such record, or `check` has findings.
pub(super) const EXIT_NEGATIVE: u8 = 1;

/// Displays as a sentence without its period.
#[derive(Debug, Error)]
pub enum CommandError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("the keeper {0}")]
    Keeper(#[from] KeeperError),
    #[error("cannot {purpose}: {source}")]
    Database { purpose: &'static str, source: StoreError },
    #[error("there is no record {id} in {database}")]
    NoSuchRecord { id: String, database: String },
    #[error("record {id} has no curve {name}")]
    NoSuchSeries { id: String, name: String, hint: String },
    #[error("--sort: there is no column {name}")]
    NoSuchColumn { name: String },
    #[error("--watch needs a terminal")]
    NoTerminal,
    #[error("cannot finalize record {id}: {why}")]
    NotFinalized { id: String, why: String, hint: &'static str },
    #[error("cannot use the state directory {}: {cause}", path.display())]
    StateDirectory { path: PathBuf, cause: io::Error },
    #[error("{left} of the runs in {} could not be delivered", path.display())]
    Left { left: usize, path: PathBuf },
    #[error("{records} {} could not be ended", if *records == 1 { "record" } else { "records" })]
    Refused { records: usize },
    #[error("cannot run as a service: {0}")]
    Service(io::Error),
    #[error("cannot listen on {listen}: {cause}")]
    Listen { listen: Listen, cause: io::Error },
    #[error("--listen {listen} is reachable from other hosts, and no --allow-host is given")]
    NotLocal { listen: Listen },
    #[error("cannot serve: {0}")]
    Serve(io::Error),
    #[error("cannot write the metrics to {}: {cause}", path.display())]
    Textfile { path: PathBuf, cause: io::Error },
    #[error("cannot report: {0}")]
    Report(#[from] ReportError),
    #[error("cannot write to stdout: {0}")]
    Stdout(#[from] io::Error),
}

impl CommandError {
    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Database {
                source: StoreError::Permanent { hint, .. } | StoreError::BadInput { hint, .. }, ..
            } => Some(hint),
            Self::Database { source: StoreError::Running { .. }, .. } => Some("wait for that run to end"),
            Self::Database { source: StoreError::Transient { .. }, .. } => {
                Some("check that the database is up and is the right one; --start-timeout gives it more time")
            }
            Self::NoSuchRecord { .. } => Some("run `runwrap list` to see the ids of the newest records"),
            Self::NotFinalized { hint, .. } => Some(hint),
            Self::NoSuchSeries { hint, .. } => Some(hint),
            Self::Report(error) => error.hint(),
            Self::StateDirectory { .. } => {
                Some("name a directory with --state-dir that you own and only you can write to")
            }
            Self::Left { .. } => Some("read the cause of each in the log (--log-file), repair it and recover again"),
            Self::Refused { .. } => Some("repair the causes above, then recover again"),
            Self::Config(error) => Some(&error.hint),
            Self::Service(_) => Some("unset NOTIFY_SOCKET, which only a service manager may set"),
            Self::Listen { .. } => Some("name another place with --listen: an address of this host, or unix:PATH"),
            Self::NotLocal { .. } => Some(
                "name each host name by which it is called with --allow-host; there is no password, so put a proxy with one in front",
            ),
            Self::Textfile { .. } => Some("name a file in a directory that this user may write with --textfile"),
            Self::NoSuchColumn { .. } => Some("write a column of the output, or a metric named with --metric"),
            Self::NoTerminal => Some("leave out --watch, or call runwrap on a terminal"),
            Self::Keeper(_) | Self::Stdout(_) | Self::Serve(_) => None,
        }
    }

    /// Whether a retry may succeed.
    pub(super) const fn is_transient(&self) -> bool {
        matches!(self, Self::Database { source: StoreError::Transient { .. }, .. })
    }

    /// Whether a person must repair the cause.
    pub(super) const fn needs_a_person(&self) -> bool {
        !self.is_transient() && !matches!(self, Self::Left { .. } | Self::Refused { .. })
    }

    /// The exit status.
    pub const fn exit_status(&self) -> u8 {
        let is_negative =
            matches!(self, Self::NoSuchRecord { .. } | Self::NoSuchSeries { .. } | Self::NotFinalized { .. });
        if is_negative { EXIT_NEGATIVE } else { EXIT_RUNWRAP }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_a_hint_and_an_exit_status() {
        let transient = || StoreError::Transient { message: "sqlite:/x did not answer within 5s".to_owned() };
        let permanent = || StoreError::Permanent { message: "no right".to_owned(), hint: "grant it".to_owned() };
        let check = |error: CommandError, message: &str, hint: &str, exit_status: u8| {
            assert_eq!(error.to_string(), message);
            assert!(error.hint().unwrap().contains(hint), "{error}");
            assert_eq!(error.exit_status(), exit_status);
        };
        let purpose = "list the records";
        check(
            CommandError::Database { purpose, source: transient() },
            "cannot list the records: sqlite:/x did not answer within 5s",
            "--start-timeout",
            125,
        );
        check(
            CommandError::Database { purpose, source: permanent() },
            "cannot list the records: no right",
            "grant it",
            125,
        );
        check(
            CommandError::NoSuchRecord { id: "30".to_owned(), database: "sqlite:/x".to_owned() },
            "there is no record 30 in sqlite:/x",
            "runwrap list",
            1,
        );
        check(
            CommandError::Report(ReportError::NotInARun),
            "cannot report: RUNWRAP_REPORT is not set",
            "runwrap --",
            125,
        );
    }
}
