//! Ends records without a journal: of runs whose lease has run out, and of rows that nothing watches. Owns the texts of these
//! ends. Must not choose the candidates: the store does, and judges each again under its lock.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};

use super::recoverer;
use crate::record::{Applied, Change, Decision, Doubt, Presumption, Proof, RunId};
use crate::store::{RecordView, Store, StoreError, Suspect};

/// A record before and after its repair; `None` where there was none.
#[derive(Debug)]
pub struct Repaired {
    pub before: Option<RecordView>,
    pub after: Option<RecordView>,
}

/// The end of a run whose lease has run out.
pub fn lease_ran_out() -> Presumption {
    let (by, when) = recoverer();
    Presumption {
        proof: Proof::Lease,
        seen_at: None,
        message: format!("lost: no sign of life within its lease; recovered by {by} at {when}"),
        recovered_by: by,
    }
}

/// Presumes a run lost. `None` if a heartbeat or another recovery came first.
///
/// # Errors
/// The store's.
pub fn presume(store: &mut Store, run_id: RunId, presumption: Presumption) -> Result<Option<Repaired>, StoreError> {
    let before = store.show(&run_id.to_string())?;
    if store.apply(run_id, &Change::Presume(presumption))? != Applied::Written {
        return Ok(None);
    }
    Ok(Some(Repaired { before, after: store.show(&run_id.to_string())? }))
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

/// Gives up a stuck record. `None` if it has changed meanwhile.
///
/// # Errors
/// The store's.
pub fn give_up(store: &mut Store, suspect: &Suspect, doubt: Doubt) -> Result<Option<Repaired>, StoreError> {
    // Within the attempt, which is bounded: the file may be on a disk that hangs.
    let model_written_at = suspect.model_path.as_deref().and_then(written_at);
    let decided = store.decide(&suspect.record_id, &Decision::GiveUp(Doubt { model_written_at, ..doubt }))?;
    let repaired = Repaired { before: decided.before, after: decided.after };
    Ok((decided.applied == Applied::Written).then_some(repaired))
}

/// The time of the last write to a model's file, if the file is on this host.
fn written_at(model_path: &str) -> Option<DateTime<Utc>> {
    let path = Path::new(model_path);
    let file = fs::metadata(path).ok().filter(|file| file.is_file() && path.is_absolute())?;
    file.modified().ok().map(|written_at| DateTime::<Utc>::from(written_at).trunc_subsecs(6))
}
