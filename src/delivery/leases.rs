//! Ends records without a journal: of runs whose lease has run out, and of rows that nothing watches. Owns the texts of these
//! ends. Must not choose the candidates: the store does, and repeats the decision about each under its lock.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use chrono::{DateTime, SubsecRound, Utc};

use super::{Destination, Inspection, inspect, recoverer};
use crate::journal::{Home, run_id_of};
use crate::record::{Applied, Change, Decision, Doubt, Presumption, Proof, RunId};
use crate::store::{Decided, Store, StoreError, Suspect};

/// The overdue runs that a keeper looks at, and those that it ends, each time: no keeper works for the others for long.
const LOOKED_AT_MAX: u32 = 1000;
const HEALED_MAX: usize = 100;

/// A record that may have to be ended without a journal.
#[derive(Clone, Debug)]
pub enum Silent {
    /// A run whose lease has run out.
    Overdue(RunId),
    /// A row that nothing watches.
    Stuck(Suspect, Doubt),
}

impl Silent {
    /// Ends the record, unless it has changed meanwhile: a heartbeat or another recovery came first.
    ///
    /// # Errors
    /// The store's.
    pub fn end(&self, store: &mut Store) -> Result<Decided, StoreError> {
        match self {
            Self::Overdue(run_id) => {
                let id = run_id.to_string();
                let before = store.show(&id)?;
                let applied = presume(store, *run_id)?;
                Ok(Decided { applied, before, after: store.show(&id)? })
            }
            Self::Stuck(suspect, doubt) => {
                // Within the attempt, which is bounded: the file may be on a disk that hangs.
                let model_written_at = suspect.model_path.as_deref().and_then(written_at);
                let doubt = Doubt { model_written_at, ..doubt.clone() };
                store.decide(&suspect.record_id, &Decision::GiveUp(doubt))
            }
        }
    }

    /// The event of its end and its name, for the log.
    pub fn describe(&self) -> (&'static str, String) {
        match self {
            Self::Overdue(run_id) => ("presumed_lost", format!("run {run_id}")),
            Self::Stuck(suspect, _) => ("given_up", format!("record {}", suspect.record_id)),
        }
    }
}

/// Ends overdue runs for a keeper whose own run goes on, which `state_dir` belongs to. `random`, from 0 to 1, spreads the runs over the
/// keepers. Returns whether overdue runs have a journal in the state directory, which are delivered instead, and the runs that it has ended.
///
/// # Errors
/// The database does not answer. A run that the database refuses to end is logged and stops no other.
pub fn heal(
    store: &mut Store,
    state_dir: &Path,
    destination: &Destination,
    random: f64,
) -> Result<(bool, Vec<RunId>), StoreError> {
    let mut overdue = store.overdue(LOOKED_AT_MAX)?;
    if overdue.is_empty() {
        return Ok((false, Vec::new()));
    }
    let mut lost = Vec::new();
    let journaled = journaled(state_dir, destination, &overdue).unwrap_or_else(|error| {
        log::warn!(event = "state_directory_unreadable", path:? = state_dir, error:%;
            "the state directory cannot be read: {error}");
        HashSet::new()
    });
    overdue.retain(|run_id| !journaled.contains(run_id));
    let first = u32::try_from(overdue.len()).map_or(0.0, |count| f64::from(count) * random);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down to an index")]
    let (before, from) = overdue.split_at((first as usize).min(overdue.len()));
    for run_id in from.iter().chain(before).copied().take(HEALED_MAX) {
        match presume(store, run_id) {
            Ok(Applied::Written) => {
                log::info!(event = "presumed_lost", what = format!("run {run_id}"); "run {run_id} is presumed lost");
                lost.push(run_id);
            }
            Ok(Applied::InPart | Applied::Kept | Applied::Missing | Applied::Renewed) => {}
            Err(error @ StoreError::Transient { .. }) => return Err(error),
            Err(error) => {
                log::warn!(event = "refused", what = format!("run {run_id}"), error:%;
                    "run {run_id} cannot be presumed lost: {error}");
            }
        }
    }
    Ok((!journaled.is_empty(), lost))
}

/// The runs among `overdue` with a journal in this state directory, locked or not. Its lock and its end outweigh the lease.
///
/// # Errors
/// The state directory cannot be read.
pub fn journaled(state_dir: &Path, destination: &Destination, overdue: &[RunId]) -> io::Result<HashSet<RunId>> {
    if overdue.is_empty() || !state_dir.exists() {
        return Ok(HashSet::new());
    }
    let home = Home::open(state_dir)?;
    let is_journaled =
        |name: &OsString| matches!(inspect(&home, name, destination), Ok(Inspection::Dead(_) | Inspection::Held(_)));
    let named = home.names()?.runs.into_iter().filter_map(|name| Some((run_id_of(&name)?, name)));
    let known = named.filter(|(run_id, name)| overdue.contains(run_id) && is_journaled(name));
    Ok(known.map(|(run_id, _name)| run_id).collect())
}

/// Ends a run whose lease has run out, and no other.
pub(super) fn presume(store: &mut Store, run_id: RunId) -> Result<Applied, StoreError> {
    let applied = store.apply(run_id, &Change::Presume(lease_ran_out()))?;
    if applied == Applied::Renewed {
        log::warn!(event = "lease_renewed", run_id:%;
            "run {run_id} gets a full lease: a standby was promoted since the run's last heartbeat");
    }
    Ok(applied)
}

fn lease_ran_out() -> Presumption {
    let (by, when) = recoverer();
    Presumption {
        proof: Proof::Lease,
        seen_at: None,
        message: format!("lost: no sign of life within its lease; recovered by {by} at {when}"),
        recovered_by: by,
    }
}

/// The end of a record that has been silent for so long.
pub fn doubt(silent: Duration, assume_now: bool) -> Doubt {
    let (by, when) = recoverer();
    let duration = humantime::format_duration(silent);
    Doubt {
        silent_seconds: u32::try_from(silent.as_secs()).unwrap_or(u32::MAX),
        model_written_at: None,
        assume_now,
        message: format!(
            "stuck: in training without a sign of life for {duration} and nothing watched it; recovered by {by} at {when}"
        ),
        by,
    }
}

/// The time of the last write to a model's file, if the file is on this host.
fn written_at(model_path: &str) -> Option<DateTime<Utc>> {
    let path = Path::new(model_path);
    let file = fs::metadata(path).ok().filter(|file| file.is_file() && path.is_absolute())?;
    file.modified().ok().map(|written_at| DateTime::<Utc>::from(written_at).trunc_subsecs(6))
}
