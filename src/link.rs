//! The link between supervisor and keeper: messages, their order, and the meaning of end-of-file.
//!
//! - The supervisor starts the keeper with [`LINK_FD`], [`CONFIG_FD`] (in memory only: the config may contain a
//!   password), [`JOURNAL_FD`] and, if the run has a directory, [`LOCK_FD`].
//! - Supervisor to keeper: only [`ToKeeper::Look`], sent when the journal has grown. The keeper reads everything else
//!   from the journal. The first `Look` means that the journal has a beginning and its directory a name; until then the
//!   keeper only opens its database. The keeper syncs each event before it delivers it.
//! - Keeper to supervisor: [`ToSupervisor`], at any time. Only the first `Recorded` is new; `Final` and a
//!   `Failed` about the end are the last message: the keeper ends, and the supervisor reaps it.
//! - End-of-file at the supervisor: the keeper has died, or its re-exec failed. The supervisor starts another, which
//!   reads the journal.
//! - End-of-file at the keeper: the supervisor has ended. If the journal has an end, the keeper delivers it and lingers.
//!   If not, the supervisor was killed: the keeper takes the journal's lock, stops the remaining processes of the
//!   trainer, writes the end and delivers it.
//! - A message that exceeds the size limit or the peer's queue is dropped: the journal or the database has the same
//!   information.
//!
//! The trainer holds neither end: both are close-on-exec. Must not block.

use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::config::{DatabaseTarget, any_path};
use crate::record::{Begun, RunId};
use crate::sys::fs::read_from_start;
use crate::sys::memory_file::memory_file;

pub use crate::sys::link::{Link, Message};

/// The keeper's end of the link.
pub const LINK_FD: RawFd = 3;
pub const CONFIG_FD: RawFd = 4;
/// The journal. The keeper writes it only after a takeover.
pub const JOURNAL_FD: RawFd = 5;
/// An open file description of the lock file that holds the keeper's byte.
pub const LOCK_FD: RawFd = 6;

/// The parameters of a keeper, passed at its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeeperConfig {
    pub run_id: RunId,
    pub target: DatabaseTarget,
    /// The file that the database's URL was read from.
    #[serde(with = "any_path::optional")]
    pub url_file: Option<PathBuf>,
    pub table: String,
    pub migrate: bool,
    /// A table that cannot take every end of the run refuses its beginning.
    pub require_database: bool,
    #[serde(with = "any_path")]
    pub state_dir: PathBuf,
    /// Whether the run has a directory in `state_dir`.
    pub has_directory: bool,
    /// The number in the journal's file name; `None` for a journal in memory.
    pub journal_number: Option<u32>,
    /// The trainer's report file.
    #[serde(with = "any_path::optional")]
    pub report_path: Option<PathBuf>,
    #[serde(with = "any_path")]
    pub log_file: PathBuf,
    pub heartbeat: Duration,
    pub linger: Duration,
    /// How long the supervisor waits for the record.
    pub start_timeout: Duration,
    /// How long the supervisor waits for the end's delivery.
    pub finish_timeout: Duration,
}

impl KeeperConfig {
    /// Writes the config to a memory file.
    pub fn write(&self) -> io::Result<File> {
        memory_file(c"runwrap-config", &serde_json::to_vec(self)?)
    }

    /// Reads the config from its start.
    pub fn read(file: &File) -> io::Result<Self> {
        Ok(serde_json::from_slice(&read_from_start(file)?)?)
    }
}

/// A message from the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// The journal has grown.
    Look,
}

/// A message from the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// The database has the record.
    Recorded(Begun),
    /// The database refuses the record until a person acts. The keeper retries at each heartbeat and at the end.
    Failed {
        /// The run's options contradict the database.
        refused: bool,
        #[serde(serialize_with = "shortened")]
        message: String,
        #[serde(serialize_with = "shortened")]
        hint: String,
    },
    /// Another run of the name has no end, and this one must not begin beside it.
    Running {
        #[serde(serialize_with = "shortened")]
        message: String,
    },
    /// An attempt failed, and the keeper tries again: the cause, for a message about a deadline.
    Retrying {
        #[serde(serialize_with = "shortened")]
        message: String,
    },
    /// The database answers again, after a `Retrying`.
    Answered,
    /// The database accepts the record again, after a `Failed`.
    Restored,
    /// A message for the user.
    Notice {
        #[serde(serialize_with = "shortened")]
        message: String,
        #[serde(serialize_with = "shortened")]
        hint: String,
    },
    /// The journal could not be synced: the run continues in another file, with another keeper.
    NotSynced {
        #[serde(serialize_with = "shortened")]
        message: String,
    },
    /// The database has the end.
    Final,
}

/// A server message may be as long as the value it refuses. Two texts of this length fit into one message, even if
/// every character is escaped.
fn shortened<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    const CHARACTERS_MAX: usize = 1000;
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => serializer.serialize_str(text),
        Some((end, _)) => serializer.serialize_str(&format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message over the size limit made the keeper exit, and then every keeper after it.
    #[test]
    fn longest_texts_fit_into_a_message() {
        let (supervisor, keeper) = Link::pair().unwrap();
        for text in ["\u{1}", "😀", "\"", "x"] {
            let long = || text.repeat(1_000_000);
            for refused in [false, true] {
                assert!(keeper.send(&ToSupervisor::Failed { refused, message: long(), hint: long() }).unwrap());
                let short = || format!("{}…", text.repeat(1000));
                let expected = ToSupervisor::Failed { refused, message: short(), hint: short() };
                assert_eq!(supervisor.recv().unwrap(), Message::Received(expected));
            }
        }
    }
}
