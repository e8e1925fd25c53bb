//! What earlier runs left in the state directory: which of it is ours to deliver, and what becomes of the rest.
//! Living runs are never touched; a run meant for another database is left and named; a damaged one is put aside and
//! stops no other. Called by the lingering keeper, by `recover`, and by a supervisor that had no keeper.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use super::Parcel;
use crate::journal::{Account, Damage, Home, ReportReader, RunDirectory, Standing};
use crate::record::{Presumption, Proof};
use crate::sys::{account, clock, host};

/// A run that nobody looks after. Its locks are ours as long as this lives.
#[derive(Debug)]
pub struct DeadRun {
    pub directory: RunDirectory,
    pub account: Account,
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
    /// Its journal is damaged; it is here now.
    Quarantined { damage: Damage, path: PathBuf },
    /// A newer runwrap wrote it; left as it is.
    Newer { damage: Damage },
}

impl Leftover {
    /// Says in the log why the run `name` stays where it is. Nothing of a run that is delivered or lives.
    pub fn log(&self, name: &OsStr) {
        match self {
            Self::Dead(_) | Self::Alive => {}
            Self::Foreign { database } => log::info!(event = "run_left", run:? = name, database; ""),
            Self::Quarantined { damage, path } => {
                log::error!(event = "run_quarantined", run:? = name, damage:%, path:?; "");
            }
            Self::Newer { damage } => log::warn!(event = "run_left", run:? = name, damage:%; ""),
        }
    }
}

/// Looks at the run directory `name`, for whoever delivers to the database `identity`.
///
/// # Errors
/// The directory is not one that we may use: another user's, a symbolic link, an unreadable disk.
pub fn inspect(home: &Home, name: &OsStr, identity: &str) -> io::Result<Leftover> {
    let directory = match home.open_run(name) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Leftover::Alive),
        Err(error) => return Err(error),
    };
    if matches!(directory.standing()?, Standing::Alive) || !home.has_run(name) {
        return Ok(Leftover::Alive);
    }
    match directory.read()? {
        Ok((account, _, _)) if account.begin.database == identity => {
            Ok(Leftover::Dead(Box::new(DeadRun { directory, account })))
        }
        Ok((account, _, _)) => Ok(Leftover::Foreign { database: account.begin.database }),
        Err(damage @ Damage::NewerFormat { .. }) => Ok(Leftover::Newer { damage }),
        // It died before it had begun: there is nothing to tell of it.
        Err(Damage::Empty) => home.remove_run(&directory).map(|()| Leftover::Alive),
        Err(damage @ Damage::Line { .. }) => {
            let path = home.quarantine(&directory)?;
            Ok(Leftover::Quarantined { damage, path })
        }
    }
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
    pub fn parcel(&self) -> io::Result<Parcel> {
        let mut reader = ReportReader::default();
        reader.read_on(&self.directory.report_path(), true)?;
        let account = &self.account;
        let (by, when) = recoverer();
        let presumption = Presumption {
            proof: Proof::DeadJournal,
            seen_at: Some(account.begin.moment(account.last_elapsed_us)),
            message: format!("lost: its journal has no end and nobody held its lock; recovered by {by} at {when}"),
            recovered_by: by,
        };
        Ok(Parcel::of_dead(account, reader.report().clone(), presumption))
    }
}
