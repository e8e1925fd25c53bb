//! The journals that wait for their delivery, for `check`. Must not change the state directory.

use std::ffi::OsStr;
use std::io;

use serde_json::{Value, json};

use crate::commands::CommandError;
use crate::config::Settings;
use crate::delivery::{Inspection, inspect};
use crate::journal::{Home, RunState, run_id_of};
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
        match waits(&home, &name, &identity) {
            Ok(found) => waiting.extend(found),
            Err(cause) => {
                let path = settings.state_dir.join("runs").join(&name);
                let detail = format!("the journal of run {} cannot be read: {cause}", label(&name));
                waiting.push((Value::Null, finding(detail, format!("make {} your own again", path.display()))));
            }
        }
    }
    for path in home.quarantined().map_err(unusable)? {
        let detail = format!("a damaged journal was put aside: {}", path.display());
        let repair = "read it, end its record with runwrap finalize, then remove it".to_owned();
        waiting.push((Value::Null, finding(detail, repair)));
    }
    Ok(waiting)
}

fn finding(detail: String, repair: String) -> Finding {
    Finding { kind: FindingKind::Undelivered, detail, repair: Repair::Do(repair) }
}

fn waits(home: &Home, name: &OsStr, identity: &str) -> io::Result<Option<(Value, Finding)>> {
    let run = format!("the journal of run {}", label(name));
    let recover = || "runwrap recover".to_owned();
    Ok(match inspect(home, name, identity)? {
        Inspection::Dead(dead) => {
            Some((record_id(&dead.state), finding(format!("{run} waits for its delivery"), recover())))
        }
        Inspection::Foreign { database } => {
            let repair = format!("runwrap recover, with the --database-url of {database}");
            Some((Value::Null, finding(format!("{run} is meant for another database, {database}"), repair)))
        }
        Inspection::Damaged { damage, .. } => Some((
            Value::Null,
            finding(format!("{run} is damaged: {damage}"), format!("{}, which puts it aside", recover())),
        )),
        Inspection::Newer { damage } => {
            Some((Value::Null, finding(format!("{run}: {damage}"), "runwrap recover, by the newer runwrap".into())))
        }
        Inspection::NeverBegun { .. } | Inspection::Emptied | Inspection::Gone => None,
        Inspection::Held => ended(home, name)?.map(|state| {
            let detail = format!("{run} has an end, and its keeper is still delivering it");
            (record_id(&state), finding(detail, "wait, or read the database's error in the log".into()))
        }),
    })
}

/// The run's id, or the directory's name if that has none.
fn label(name: &OsStr) -> String {
    run_id_of(name).map_or_else(|| name.display().to_string(), |run_id| run_id.to_string())
}

/// The state of an ended run whose keeper still delivers it. While its supervisor lives, that waits for the delivery itself.
fn ended(home: &Home, name: &OsStr) -> io::Result<Option<RunState>> {
    let directory = match home.open_run(name) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if directory.is_written()? {
        return Ok(None);
    }
    let state = directory.read()?.ok().map(|(state, _, _)| state);
    Ok(state.filter(|state| state.ended.is_some() && home.has_run(name)))
}

/// A number if it looks like one, as in the record.
fn record_id(state: &RunState) -> Value {
    let known = state.recorded.as_ref().map(|begun| begun.record_id.0.as_str());
    known.map_or(Value::Null, |id| id.parse::<i64>().map_or_else(|_| json!(id), |number| json!(number)))
}
