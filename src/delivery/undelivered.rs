//! The journals that wait for their delivery, for a person. Must not change the state directory.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::{Destination, Inspection, inspect};
use crate::journal::{Home, RunDirectory, RunState, run_id_of};
use crate::record::{Finding, FindingKind, Repair};

/// A journal that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The record's id, if the journal knows it.
    pub record_id: Value,
    pub detail: String,
    pub repair: String,
    /// Neither the next run nor another process delivers it: a person must act.
    pub needs_a_person: bool,
}

/// The journals in `state_dir` that wait, for a delivery to `destination`.
///
/// # Errors
/// The state directory cannot be used.
pub fn undelivered(state_dir: &Path, destination: &Destination) -> io::Result<Vec<Waiting>> {
    let Some(home) = Home::open_existing(state_dir)? else { return Ok(Vec::new()) };
    let mut waiting = Vec::new();
    for name in home.names()?.runs {
        waiting.extend(waits(&home, &name, destination).unwrap_or_else(|cause| {
            let path = state_dir.join("runs").join(&name);
            let detail = format!("the journal of run {} cannot be read: {cause}", label(&name));
            Some(by_hand(detail, format!("make {} your own again", path.display())))
        }));
    }
    for path in home.quarantined()? {
        let detail = format!("a damaged journal was put aside: {}", path.display());
        waiting.push(by_hand(detail, "read it, end its record with runwrap finalize, then remove it".to_owned()));
    }
    Ok(waiting)
}

fn by_hand(detail: String, repair: String) -> Waiting {
    Waiting { record_id: Value::Null, detail, repair, needs_a_person: true }
}

impl Waiting {
    /// As `check` reports it.
    pub(crate) fn finding(&self) -> Finding {
        let repair = Repair::Do(self.repair.clone());
        Finding { kind: FindingKind::Undelivered, detail: self.detail.clone(), repair }
    }
}

/// The run `name`, if it waits.
fn waits(home: &Home, name: &OsStr, destination: &Destination) -> io::Result<Option<Waiting>> {
    let run = format!("the journal of run {}", label(name));
    let by_itself = |record_id, detail, repair: String| Waiting { record_id, detail, repair, needs_a_person: false };
    let recover = || "runwrap recover".to_owned();
    Ok(Some(match inspect(home, name, destination)? {
        Inspection::Dead(dead) => by_itself(record_id(&dead.state), format!("{run} waits for its delivery"), recover()),
        Inspection::Foreign(database) => {
            let repair = format!("recover with the --database-url of {database}");
            by_itself(Value::Null, format!("{run} is meant for another database, {database}"), repair)
        }
        Inspection::Unprotected(demanded) => by_hand(
            format!("{run} may travel only with sslmode={demanded} or better"),
            format!("recover with sslmode={demanded} in the --database-url"),
        ),
        Inspection::Damaged(damage, _) => {
            by_hand(format!("{run} is damaged, and a recovery puts it aside: {damage}"), recover())
        }
        Inspection::Newer(damage) => by_hand(format!("{run}: {damage}"), "recover with the newer runwrap".to_owned()),
        Inspection::NeverBegun(_) | Inspection::Emptied | Inspection::Gone | Inspection::Elsewhere(_) => {
            return Ok(None);
        }
        Inspection::Held(directory) => {
            let Some((deliverer, state)) = deliverer(&directory)?.filter(|_| home.has_run(name)) else {
                return Ok(None);
            };
            let detail = match deliverer {
                // That waits for the delivery itself.
                Deliverer::Keeper { is_supervised: true } => return Ok(None),
                Deliverer::Keeper { is_supervised: false } => "has an end, and its keeper is still delivering it",
                Deliverer::Recovery => "is being delivered by a lingering keeper or a recovery",
            };
            let wait = "wait, or read the database's error in the log".to_owned();
            by_itself(record_id(&state), format!("{run} {detail}"), wait)
        }
    }))
}

/// The run's id, or the directory's name if that has none.
pub(crate) fn label(name: &OsStr) -> String {
    run_id_of(name).map_or_else(|| name.display().to_string(), |run_id| run_id.to_string())
}

/// The process that holds a run's locks to deliver its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deliverer {
    Keeper {
        is_supervised: bool,
    },
    /// A lingering keeper or a recovery.
    Recovery,
}

/// The process that delivers the end of a run whose locks are held, and the run's state. `None` for a living run.
pub(crate) fn deliverer(directory: &RunDirectory) -> io::Result<Option<(Deliverer, RunState)>> {
    let (is_recovered, is_supervised) = (directory.is_recovered()?, directory.is_written()?);
    let Ok((state, _, _)) = directory.read()? else { return Ok(None) };
    Ok(match (is_recovered, &state.ended) {
        (true, _) => Some((Deliverer::Recovery, state)),
        (false, Some(_)) => Some((Deliverer::Keeper { is_supervised }, state)),
        (false, None) => None,
    })
}

/// A number if it looks like one, as in the record.
fn record_id(state: &RunState) -> Value {
    let known = state.recorded.as_ref().map(|begun| begun.record_id.0.as_str());
    known.map_or(Value::Null, |id| id.parse::<i64>().map_or_else(|_| json!(id), |number| json!(number)))
}
