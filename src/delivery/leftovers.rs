//! What earlier runs left in the state directory: which of it is ours to deliver, and what becomes of the rest.
//! Living runs are never touched; a run meant for another database is left and named; a damaged one is put aside and
//! stops no other. Called by the lingering keeper, by `recover`, and by a supervisor that had no keeper.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use super::Delivery;
use crate::journal::{Damage, Home, LockState, ReportReader, RunDirectory, RunState};
use crate::record::{Presumption, Proof};
use crate::sys::{account, clock, host};

/// A run that nobody looks after. Its locks are ours as long as this lives.
#[derive(Debug)]
pub struct DeadRun {
    pub directory: RunDirectory,
    pub state: RunState,
}

/// What a directory turned out to be.
#[derive(Debug)]
pub enum Leftover {
    /// Ours to deliver.
    Dead(Box<DeadRun>),
    /// Its supervisor, its keeper or another recoverer looks after it, or there is nothing left of it.
    Alive,
    /// It is meant for another database.
    Foreign { database: String },
    /// It died before it had begun: there is nothing to tell of it.
    NeverBegun { directory: RunDirectory },
    /// Its journal is damaged.
    Damaged { damage: Damage, directory: RunDirectory },
    /// Its journal was damaged; it is here now.
    Quarantined { damage: Damage, path: PathBuf },
    /// A newer runwrap wrote it; left as it is.
    Newer { damage: Damage },
}

impl Leftover {
    /// The run, where it is ours to deliver; else says in the log why it stays.
    #[must_use]
    pub fn dead(self, name: &OsStr) -> Option<DeadRun> {
        match self {
            Self::Dead(run) => Some(*run),
            left @ (Self::Alive
            | Self::Foreign { .. }
            | Self::NeverBegun { .. }
            | Self::Damaged { .. }
            | Self::Quarantined { .. }
            | Self::Newer { .. }) => {
                left.log(name);
                None
            }
        }
    }

    /// Says in the log why the run `name` stays where it is. Nothing of a run that is delivered or lives.
    pub fn log(&self, name: &OsStr) {
        match self {
            Self::Dead(_) | Self::Alive | Self::NeverBegun { .. } => {}
            Self::Foreign { database } => log::info!(event = "run_left", run:? = name, database; ""),
            Self::Damaged { damage, .. } => log::error!(event = "run_damaged", run:? = name, damage:%; ""),
            Self::Quarantined { damage, path } => {
                log::error!(event = "run_quarantined", run:? = name, damage:%, path:?; "");
            }
            Self::Newer { damage } => log::warn!(event = "run_left", run:? = name, damage:%; ""),
        }
    }
}

/// Looks at the run directory `name`, for whoever delivers to the database `identity`. What is damaged is put aside, and
/// what had not begun is removed.
///
/// # Errors
/// The directory is not one that we may use: another user's, a symbolic link, an unreadable disk.
pub fn inspect(home: &Home, name: &OsStr, identity: &str) -> io::Result<Leftover> {
    match look(home, name, identity)? {
        Leftover::NeverBegun { directory } => home.remove_run(&directory).map(|()| Leftover::Alive),
        Leftover::Damaged { damage, directory } => {
            let path = home.quarantine(&directory)?;
            Ok(Leftover::Quarantined { damage, path })
        }
        left @ (Leftover::Dead(_)
        | Leftover::Alive
        | Leftover::Foreign { .. }
        | Leftover::Quarantined { .. }
        | Leftover::Newer { .. }) => Ok(left),
    }
}

/// As [`inspect`], and leaves everything where it is.
///
/// # Errors
/// As there.
pub fn look(home: &Home, name: &OsStr, identity: &str) -> io::Result<Leftover> {
    let directory = match home.open_run(name) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Leftover::Alive),
        Err(error) => return Err(error),
    };
    if matches!(directory.lock_state()?, LockState::Alive) || !home.has_run(name) {
        return Ok(Leftover::Alive);
    }
    Ok(match directory.read()? {
        Ok((state, _, _)) if state.begin.database == identity => Leftover::Dead(Box::new(DeadRun { directory, state })),
        Ok((state, _, _)) => Leftover::Foreign { database: state.begin.database },
        Err(damage @ Damage::NewerFormat { .. }) => Leftover::Newer { damage },
        Err(Damage::Empty) => Leftover::NeverBegun { directory },
        Err(damage @ Damage::Line { .. }) => Leftover::Damaged { damage, directory },
    })
}

/// Who recovers, and when: for the record.
#[must_use]
pub fn recoverer() -> (String, String) {
    let by = format!("{}@{}", account::user_name(), host::host_name());
    (by, clock::wall_time().format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

impl DeadRun {
    /// What is to be delivered of it.
    ///
    /// # Errors
    /// Its report file cannot be read.
    pub fn delivery(&self) -> io::Result<Delivery> {
        let mut reader = ReportReader::default();
        reader.read_on(&self.directory.report_path(), true)?;
        let state = &self.state;
        let (by, when) = recoverer();
        let presumption = Presumption {
            proof: Proof::DeadJournal,
            seen_at: Some(state.begin.moment(state.last_elapsed_us)),
            message: format!("lost: its journal has no end and nobody held its lock; recovered by {by} at {when}"),
            recovered_by: by,
        };
        Ok(Delivery::of_dead(state, reader.report().clone(), presumption))
    }
}
