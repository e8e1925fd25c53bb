//! The journals that wait for their delivery, for `check`. Must not change the state directory.

use std::ffi::OsStr;
use std::io;

use serde_json::{Value, json};

use crate::commands::CommandError;
use crate::config::Settings;
use crate::delivery::{Inspection, inspect};
use crate::journal::{Home, RunDirectory, RunState, run_id_of};
use crate::record::{Finding, FindingKind, Repair};

/// The findings, each with its record's id if the journal knows it.
///
/// # Errors
/// The state directory cannot be used.
pub(super) fn undelivered(settings: &Settings) -> Result<Vec<(Value, Finding)>, CommandError> {
    if !settings.state_dir.exists() {
        return Ok(Vec::new());
    }
    let unusable = |cause| CommandError::StateDirectory { path: settings.state_dir.clone(), cause };
    let home = Home::open(&settings.state_dir).map_err(unusable)?;
    let identity = settings.database.identity();
    let mut waiting = Vec::new();
    for name in home.names().map_err(unusable)?.runs {
        waiting.extend(waits(&home, &name, &identity).unwrap_or_else(|cause| {
            let path = settings.state_dir.join("runs").join(&name);
            let detail = format!("the journal of run {} cannot be read: {cause}", label(&name));
            Some((Value::Null, detail, format!("make {} your own again", path.display())))
        }));
    }
    for path in home.quarantined().map_err(unusable)? {
        let detail = format!("a damaged journal was put aside: {}", path.display());
        waiting.push((Value::Null, detail, "read it, end its record with runwrap finalize, then remove it".to_owned()));
    }
    let finding = |detail, repair| Finding { kind: FindingKind::Undelivered, detail, repair: Repair::Do(repair) };
    Ok(waiting.into_iter().map(|(record_id, detail, repair)| (record_id, finding(detail, repair))).collect())
}

/// The record's id, the detail and the repair of a run that waits.
fn waits(home: &Home, name: &OsStr, identity: &str) -> io::Result<Option<(Value, String, String)>> {
    let run = format!("the journal of run {}", label(name));
    let recover = "runwrap recover";
    Ok(Some(match inspect(home, name, identity)? {
        Inspection::Dead(dead) => (record_id(&dead.state), format!("{run} waits for its delivery"), recover.to_owned()),
        Inspection::Foreign(database) => {
            let repair = format!("{recover}, with the --database-url of {database}");
            (Value::Null, format!("{run} is meant for another database, {database}"), repair)
        }
        Inspection::Damaged(damage, _) => {
            (Value::Null, format!("{run} is damaged: {damage}"), format!("{recover}, which puts it aside"))
        }
        Inspection::Newer(damage) => {
            (Value::Null, format!("{run}: {damage}"), format!("{recover}, by the newer runwrap"))
        }
        Inspection::NeverBegun(_) | Inspection::Emptied | Inspection::Gone | Inspection::Elsewhere(_) => {
            return Ok(None);
        }
        Inspection::Held(directory) => {
            let Some(state) = ended(&directory)?.filter(|_| home.has_run(name)) else { return Ok(None) };
            let detail = format!("{run} has an end, and its keeper is still delivering it");
            (record_id(&state), detail, "wait, or read the database's error in the log".to_owned())
        }
    }))
}

/// The run's id, or the directory's name if that has none.
fn label(name: &OsStr) -> String {
    run_id_of(name).map_or_else(|| name.display().to_string(), |run_id| run_id.to_string())
}

/// The state of an ended run whose keeper still delivers it. While its supervisor lives, that waits for the delivery itself.
fn ended(directory: &RunDirectory) -> io::Result<Option<RunState>> {
    if directory.is_written()? {
        return Ok(None);
    }
    Ok(directory.read()?.ok().map(|(state, _, _)| state).filter(|state| state.ended.is_some()))
}

/// A number if it looks like one, as in the record.
fn record_id(state: &RunState) -> Value {
    let known = state.recorded.as_ref().map(|begun| begun.record_id.0.as_str());
    known.map_or(Value::Null, |id| id.parse::<i64>().map_or_else(|_| json!(id), |number| json!(number)))
}
