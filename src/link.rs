//! The link between supervisor and keeper: who may say what, when, and what end-of-file means.
//!
//! - The supervisor forks the keeper with four descriptors: [`LINK_FD`], [`CONFIG_FD`] (what it needs to know, in memory
//!   only: there may be a password in it), [`JOURNAL_FD`] and, where the run has a directory, [`LOCK_FD`].
//! - Supervisor to keeper: [`ToKeeper::Look`] only: the journal has grown. Everything else the keeper reads in the journal.
//!   The first says that the beginning is durable. A keeper does nothing but open its database before it: the journal is
//!   still empty when it is started.
//! - Keeper to supervisor: [`ToSupervisor`], at any time. `Recorded` at most once is new; `Final` is the last.
//! - End-of-file at the supervisor: the keeper has died, or replaced itself in vain. Another is started; the journal tells it all.
//! - End-of-file at the keeper: the supervisor has gone. With an end in the journal it ended as planned: deliver, linger.
//!   Without one it was killed: take the journal's lock, stop what is left of the trainer, write the end, deliver.
//! - A message that does not fit or that nobody reads is dropped: each is only news of what the journal or the database says.
//!
//! The trainer never holds an end: both are close-on-exec. Must not block. Called by supervisor and keeper.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::config::{DatabaseTarget, any_path};
use crate::record::{Begun, RunId};
use crate::sys::fs::{memory_file, read_from_start};
use crate::sys::link::{MESSAGE_BYTES_MAX, Socket};

pub use crate::sys::link::Message;

/// The keeper's end of the link.
pub const LINK_FD: RawFd = 3;
/// The config.
pub const CONFIG_FD: RawFd = 4;
/// The journal, for reading; for writing after a takeover.
pub const JOURNAL_FD: RawFd = 5;
/// An opening of the lock file that holds the keeper's byte.
pub const LOCK_FD: RawFd = 6;

/// What a keeper is told at its birth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeeperConfig {
    pub run_id: RunId,
    pub target: DatabaseTarget,
    pub table: String,
    pub migrate: bool,
    #[serde(with = "any_path")]
    pub state_dir: PathBuf,
    /// Whether the run has a directory there.
    pub has_directory: bool,
    /// The number in the journal's file name; `None` for a journal that is in memory only.
    pub journal_number: Option<u32>,
    /// What the trainer reports to.
    #[serde(with = "any_path::optional")]
    pub report_path: Option<PathBuf>,
    #[serde(with = "any_path")]
    pub log_file: PathBuf,
    pub heartbeat: Duration,
    pub linger: Duration,
    /// How long the supervisor waits for its run's end to be delivered.
    pub finish_timeout: Duration,
}

impl KeeperConfig {
    /// Puts the config into memory that no one else can open.
    pub fn write(&self) -> io::Result<File> {
        let file = memory_file("runwrap-config")?;
        file.write_all_at(&serde_json::to_vec(self)?, 0)?;
        Ok(file)
    }

    /// Reads it, whatever the descriptor's place.
    pub fn read(file: &File) -> io::Result<Self> {
        Ok(serde_json::from_slice(&read_from_start(file)?)?)
    }
}

/// What the supervisor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// The journal has grown.
    Look,
}

/// What the keeper says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// The database has the record.
    Recorded(Begun),
    /// The database shows that the run was asked for something wrong.
    Refused {
        #[serde(serialize_with = "shortened")]
        message: String,
        #[serde(serialize_with = "shortened")]
        hint: String,
    },
    /// A person must act; the keeper does not try again by itself.
    Failed {
        #[serde(serialize_with = "shortened")]
        message: String,
        #[serde(serialize_with = "shortened")]
        hint: String,
    },
    /// The database has the end.
    Final,
}

/// A server's words may be as long as the value that it refuses; two of these fit into one message, however they are escaped.
fn shortened<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    const CHARACTERS_MAX: usize = 1000;
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => serializer.serialize_str(text),
        Some((end, _)) => serializer.serialize_str(&format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

/// One end of the link.
pub struct Link(Socket);

impl Link {
    /// The supervisor's end and the socket to be given to a keeper.
    pub fn pair() -> io::Result<(Self, Socket)> {
        let (own, keepers) = Socket::pair()?;
        Ok((Self(own), keepers))
    }

    #[must_use]
    pub const fn new(socket: Socket) -> Self {
        Self(socket)
    }

    /// Says `message`, unless it does not fit, or the other side has gone or does not read.
    pub fn send(&self, message: &impl Serialize) -> io::Result<bool> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            log::warn!(event = "news_too_long", bytes = bytes.len(); "");
            return Ok(false);
        }
        self.0.send(&bytes)
    }

    /// What the other side says next.
    pub fn recv<T: for<'de> Deserialize<'de>>(&self) -> io::Result<Message<T>> {
        Ok(match self.0.recv()? {
            Message::Received(bytes) => Message::Received(serde_json::from_slice(&bytes)?),
            Message::Nothing => Message::Nothing,
            Message::Closed => Message::Closed,
        })
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that did not fit ended the keeper, and every keeper after it.
    #[test]
    fn the_longest_news_fit_into_a_message() {
        let (supervisors, keepers) = Link::pair().unwrap();
        let keepers = Link::new(keepers);
        for text in ["\u{1}", "😀", "\"", "x"] {
            let long = || text.repeat(1_000_000);
            for news in [
                ToSupervisor::Refused { message: long(), hint: long() },
                ToSupervisor::Failed { message: long(), hint: long() },
            ] {
                assert!(keepers.send(&news).unwrap());
                let Message::Received(heard) = supervisors.recv::<ToSupervisor>().unwrap() else { panic!("{text}") };
                let (ToSupervisor::Refused { message, .. } | ToSupervisor::Failed { message, .. }) = heard else {
                    panic!("{text}")
                };
                assert_eq!(message, format!("{}…", text.repeat(1000)));
            }
        }
    }
}
