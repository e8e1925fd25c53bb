//! The link between supervisor and keeper: who may say what, when, and what end-of-file means.
//!
//! - The supervisor forks the keeper with four descriptors: [`LINK_FD`], [`BRIEF_FD`] (what it needs to know, in memory
//!   only: there may be a password in it), [`JOURNAL_FD`] and, where the run has a directory, [`LOCK_FD`].
//! - Supervisor to keeper: [`ToKeeper::Look`] only: the journal has grown. Everything else the keeper reads in the journal.
//!   The first says that the beginning is durable; a keeper does nothing before it.
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

use serde::{Deserialize, Serialize};

use crate::config::DatabaseTarget;
use crate::record::{Begun, RunId};
use crate::sys::fs::memory_file;
use crate::sys::link::{Incoming, MESSAGE_BYTES_MAX, Socket};

/// The keeper's end of the link.
pub const LINK_FD: RawFd = 3;
/// The brief.
pub const BRIEF_FD: RawFd = 4;
/// The journal, for reading; for writing after a takeover.
pub const JOURNAL_FD: RawFd = 5;
/// An opening of the lock file that holds the keeper's byte.
pub const LOCK_FD: RawFd = 6;

/// What a keeper is told at its birth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Brief {
    pub run_id: RunId,
    pub target: DatabaseTarget,
    pub table: String,
    pub migrate: bool,
    pub state_dir: PathBuf,
    /// Whether the run has a directory there.
    pub has_directory: bool,
    /// The number in the journal's file name; `None` for a journal that is in memory only.
    pub journal_number: Option<u32>,
    /// What the trainer reports to.
    pub report_path: Option<PathBuf>,
    pub log_file: PathBuf,
    pub heartbeat: Duration,
    pub linger: Duration,
    /// How long the supervisor waits for its run's end to be delivered.
    pub finish_timeout: Duration,
}

impl Brief {
    /// Puts the brief into memory that no one else can open.
    pub fn write(&self) -> io::Result<File> {
        let file = memory_file("runwrap-brief")?;
        file.write_all_at(&serde_json::to_vec(self)?, 0)?;
        Ok(file)
    }

    /// Reads it, whatever the descriptor's place.
    pub fn read(file: &File) -> io::Result<Self> {
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(serde_json::from_slice(&bytes)?)
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
    Refused { message: String, hint: String },
    /// A person must act; the keeper does not try again by itself.
    Failed { message: String, hint: String },
    /// The database has the end.
    Final,
}

/// What came over the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<News> {
    News(News),
    /// Nothing now.
    Nothing,
    /// The other side has gone.
    Gone,
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
    pub const fn of(socket: Socket) -> Self {
        Self(socket)
    }

    /// Says `message`, unless the other side has gone or does not read.
    pub fn say(&self, message: &impl Serialize) -> io::Result<bool> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::other("message too long for the link"));
        }
        self.0.send(&bytes)
    }

    /// What the other side says next.
    pub fn hear<In: for<'de> Deserialize<'de>>(&self) -> io::Result<Heard<In>> {
        match self.0.receive()? {
            Incoming::Closed => Ok(Heard::Gone),
            Incoming::Nothing => Ok(Heard::Nothing),
            Incoming::Message(bytes) => Ok(Heard::News(serde_json::from_slice(&bytes)?)),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
