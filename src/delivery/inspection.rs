//! Inspects one run's directory: whether its run is dead and meant for this database. Takes the locks of a dead run, so that
//! it has one recoverer. Must not touch a living run, nor one of another database.

use std::ffi::OsStr;
use std::io;

use super::Delivery;
use crate::journal::{Damage, Home, LockState, ReportReader, RunDirectory, RunState};
use crate::record::{Presumption, Proof};
use crate::sys::{account, clock, host};

/// A run whose supervisor and keeper are both gone. Its locks are ours while this value lives.
#[derive(Debug)]
pub struct DeadRun {
    pub directory: RunDirectory,
    pub state: RunState,
}

/// The state of a run's directory.
#[derive(Debug)]
pub enum Inspection {
    /// Ours to deliver.
    Dead(Box<DeadRun>),
    /// Its supervisor, its keeper or another recovery holds its lock.
    Held,
    /// Removed meanwhile.
    Gone,
    /// Without a lock file: its remover died before the last step.
    Emptied,
    /// Meant for another database.
    Foreign {
        database: String,
    },
    /// Its journal has no beginning: nothing to deliver.
    NeverBegun {
        directory: RunDirectory,
    },
    Damaged {
        damage: Damage,
        directory: RunDirectory,
    },
    /// A newer runwrap wrote the journal.
    Newer {
        damage: Damage,
    },
}

/// An inspected directory after [`claim`] has cleaned up.
#[derive(Debug)]
pub(super) enum Claim {
    Dead(Box<DeadRun>),
    Held,
    Foreign,
    /// Nothing to deliver, now or later.
    Nothing,
}

/// Inspects the run directory `name` for a process that delivers to the database `identity`. Changes nothing.
///
/// # Errors
/// The directory cannot be used: it belongs to another user, is a symbolic link, or the disk fails.
pub fn inspect(home: &Home, name: &OsStr, identity: &str) -> io::Result<Inspection> {
    let directory = match home.open_run(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if home.has_run(name) { Inspection::Emptied } else { Inspection::Gone });
        }
        opened => opened?,
    };
    match directory.lock_state()? {
        LockState::Held => return Ok(Inspection::Held),
        // Its recoverer removed it and then freed the lock.
        LockState::Taken if !home.has_run(name) => return Ok(Inspection::Gone),
        LockState::Taken => {}
    }
    Ok(match directory.read()? {
        Ok((state, _, _)) if state.begin.database == identity => {
            Inspection::Dead(Box::new(DeadRun { directory, state }))
        }
        Ok((state, _, _)) => Inspection::Foreign { database: state.begin.database },
        Err(damage @ Damage::NewerFormat { .. }) => Inspection::Newer { damage },
        Err(Damage::Empty) => Inspection::NeverBegun { directory },
        Err(damage @ Damage::Line { .. }) => Inspection::Damaged { damage, directory },
    })
}

/// Inspects the run directory `name`, quarantines a damaged journal and removes a run without a beginning; with
/// `dry_run` it leaves both. Logs every directory that stays, except a foreign one: the caller counts those.
///
/// # Errors
/// As [`inspect`].
pub(super) fn claim(home: &Home, name: &OsStr, identity: &str, dry_run: bool) -> io::Result<Claim> {
    match inspect(home, name, identity)? {
        Inspection::Dead(run) => return Ok(Claim::Dead(run)),
        Inspection::Held => return Ok(Claim::Held),
        Inspection::Foreign { .. } => return Ok(Claim::Foreign),
        Inspection::NeverBegun { directory } if !dry_run => home.remove_run(&directory)?,
        Inspection::Emptied if !dry_run => home.remove_emptied(name)?,
        Inspection::Gone | Inspection::NeverBegun { .. } | Inspection::Emptied => {}
        Inspection::Damaged { damage, directory } => {
            let run = name.display();
            if dry_run {
                log::error!(event = "run_damaged", run:%; "the journal of run {run} is damaged: {damage}");
            } else {
                let path = home.quarantine(&directory)?.display().to_string();
                let hint = "read it, end its record with runwrap finalize, then remove it";
                log::error!(event = "run_quarantined", run:%, hint; "a damaged journal ({damage}) was moved to {path}");
            }
        }
        Inspection::Newer { damage } => {
            let run = name.display();
            log::warn!(event = "run_left", run:%; "the journal of run {run} stays: {damage}");
        }
    }
    Ok(Claim::Nothing)
}

/// This process as a recoverer, and the time: for the record.
pub fn recoverer() -> (String, String) {
    let by = format!("{}@{}", account::user_name(), host::host_name());
    (by, clock::wall_time().format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

impl DeadRun {
    /// The delivery of its journal and its report file.
    ///
    /// # Errors
    /// The report file cannot be read.
    pub fn delivery(&self) -> io::Result<Delivery> {
        let mut reader = ReportReader::default();
        reader.read_on(&self.directory.report_path(), true)?;
        let state = &self.state;
        let (by, when) = recoverer();
        let presumption = Presumption {
            proof: Proof::DeadJournal,
            seen_at: Some(state.begin.moment(state.last_elapsed_us)),
            message: format!("lost: its journal has no end and its lock was free; recovered by {by} at {when}"),
            recovered_by: by,
        };
        Ok(Delivery::of_dead(state, reader.report().clone(), presumption))
    }
}
