//! Inspects one run's directory: whether its run is dead and meant for this database. Takes the locks of a dead run, so that
//! it has one recoverer. Must not touch a living run, nor one of another database.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use super::{Delivery, Destination, History};
use crate::config::SslMode;
use crate::journal::{Damage, FreeLock, Home, LockState, ReportReader, RunDirectory, RunState};
use crate::record::{Presumption, Proof};
use crate::sys::{clock, host};

/// A run whose supervisor and keeper are both gone. Its locks are ours while this value lives.
#[derive(Debug)]
pub struct DeadRun {
    pub directory: RunDirectory,
    pub state: RunState,
    /// It has no end, and its locks may be on another host: it is dead unless the database has a heartbeat within its lease.
    pub lease_decides: bool,
}

/// The state of a run's directory.
#[derive(Debug)]
pub enum Inspection {
    /// Ours to deliver.
    Dead(Box<DeadRun>),
    /// Its supervisor, its keeper or another recovery holds its lock.
    Held(RunDirectory),
    /// A run of this host, where its locks are; here a free one proves nothing, and the lease has not run out.
    Elsewhere(String),
    /// Removed meanwhile.
    Gone,
    /// Without a lock file: its remover died before the last step.
    Emptied,
    /// Meant for another database: this one.
    Foreign(String),
    /// The connection is less protected than the run demands.
    Unprotected(SslMode),
    /// Its journal has no beginning: nothing to deliver.
    NeverBegun(RunDirectory),
    Damaged(Damage, RunDirectory),
    /// A newer runwrap wrote the journal.
    Newer(Damage),
}

/// Inspects the run directory `name` for a process that delivers to `destination`. Changes nothing.
///
/// # Errors
/// The directory cannot be used: it belongs to another user, is a symbolic link, or the disk fails.
pub fn inspect(home: &Home, name: &OsStr, destination: &Destination) -> io::Result<Inspection> {
    let directory = match home.open_run(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if home.has_run(name) { Inspection::Emptied } else { Inspection::Gone });
        }
        opened => opened?,
    };
    match directory.lock_state()? {
        LockState::Held => return Ok(Inspection::Held(directory)),
        // Its recoverer removed it and then freed the lock.
        LockState::Taken if !home.has_run(name) => return Ok(Inspection::Gone),
        LockState::Taken => {}
    }
    let read = directory.read()?.map(|(state, _, _)| state);
    // An end is truth on every host.
    let proof = match read.as_ref().ok() {
        Some(state) if state.ended.is_some() => None,
        begun => home.proof(&directory, begun.map(|state| &state.begin.run))?,
    };
    let lease_decides = match proof {
        None | Some(FreeLock::ProvesDeath) => false,
        Some(FreeLock::LeaseDecides { lease, .. }) if home.has_been_silent(&directory, lease)? => true,
        Some(FreeLock::LeaseDecides { host, .. }) => return Ok(Inspection::Elsewhere(host)),
    };
    Ok(match read {
        Ok(state) if !destination.is_meant(&state.begin) => Inspection::Foreign(state.begin.meant_for().to_owned()),
        Ok(state) => match destination.lacks(&state.begin) {
            Some(demanded) => Inspection::Unprotected(demanded),
            None => Inspection::Dead(Box::new(DeadRun { directory, state, lease_decides })),
        },
        Err(damage @ Damage::NewerFormat { .. }) => Inspection::Newer(damage),
        Err(Damage::Empty) => Inspection::NeverBegun(directory),
        Err(damage @ Damage::Line { .. }) => Inspection::Damaged(damage, directory),
    })
}

/// This process as a recoverer, and the time: for the record.
pub fn recoverer() -> (String, String) {
    let by = format!("{}@{}", host::user_name(), host::host_name());
    (by, clock::wall_time().format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

impl DeadRun {
    /// The delivery of its journal and its report file.
    ///
    /// # Errors
    /// The report file cannot be read.
    pub fn delivery(&self) -> io::Result<Delivery> {
        let state = &self.state;
        let mut reader = ReportReader::new(&self.directory.report_path(), &state.begin);
        reader.read_on(state.finished(), Duration::MAX)?;
        let (by, when) = recoverer();
        let evidence = if self.lease_decides { "no sign of life came within its lease" } else { "its lock was free" };
        let presumption = Presumption {
            proof: Proof::DeadJournal,
            seen_at: Some(state.begin.moment(state.last_elapsed_us)),
            message: format!("lost: its journal has no end and {evidence}; recovered by {by} at {when}"),
            recovered_by: by,
        };
        let delivery =
            Delivery::of_dead(state, reader.report().cloned().unwrap_or_default(), presumption, self.lease_decides);
        Ok(delivery.with(History::of(reader.series(), 0, true)))
    }
}
