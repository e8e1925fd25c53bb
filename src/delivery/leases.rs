//! Ends records without a journal: of runs whose lease has run out, and of rows that nothing watches. Owns the texts of these
//! ends. Must not choose the candidates: the store does, and repeats the decision about each under its lock.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};

use super::recoverer;
use crate::record::{Change, Decision, Doubt, Presumption, Proof, RunId};
use crate::store::{Decided, Store, StoreError, Suspect};

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
                let applied = store.apply(*run_id, &Change::Presume(lease_ran_out()))?;
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
