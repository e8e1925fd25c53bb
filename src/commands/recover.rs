//! `runwrap recover`: delivers what is left in the state directory, then ends the records of runs whose lease has run out.
//! Prints each record before and after. Called by `commands`.

use std::ffi::OsStr;

use serde_json::Value;

use super::ask::ask;
use super::repaired::Repaired;
use crate::commands::CommandError;
use crate::config::Settings;
use crate::delivery::{Leftover, inspect, recoverer};
use crate::journal::Home;
use crate::output;
use crate::record::{Applied, Change, Presumption, Proof, RunId};
use crate::store::{Store, StoreError};

/// Recovers, and prints what was done.
///
/// # Errors
/// The state directory or the database cannot be used, or something could not be delivered; the rest was.
pub(super) fn recover(settings: &Settings, json: bool) -> Result<(), CommandError> {
    let (mut done, left) = from_journals(settings)?;
    done.extend(from_leases(settings)?);
    let text = if json {
        output::json(&Value::Array(done.iter().map(Repaired::as_json).collect()))
    } else {
        done.iter().map(Repaired::as_line).collect()
    };
    output::print(&text)?;
    if left > 0 { Err(CommandError::Left { left, path: settings.state_dir.clone() }) } else { Ok(()) }
}

/// Delivers the runs that nobody looks after. Also says how many could not be delivered.
fn from_journals(settings: &Settings) -> Result<(Vec<Repaired>, usize), CommandError> {
    if !settings.state_dir.exists() {
        return Ok((Vec::new(), 0));
    }
    let unusable = |cause| CommandError::StateDirectory { path: settings.state_dir.clone(), cause };
    let home = Home::open(&settings.state_dir).map_err(unusable)?;
    home.remove_remains().map_err(unusable)?;
    let mut done = Vec::new();
    let mut left = 0;
    for name in home.run_names().map_err(unusable)? {
        match deliver(settings, &home, &name) {
            Ok(recovered) => done.extend(recovered),
            Err(error) => {
                log::error!(event = "recover_failed", run:? = name, hint = error.hint(); "{error}");
                left += 1;
                // A database that does not answer will not answer for the next one either.
                if matches!(error, CommandError::Database { source: StoreError::Transient { .. }, .. }) {
                    return Err(error);
                }
            }
        }
    }
    Ok((done, left))
}

/// Delivers the run `name`, if it is ours to deliver.
///
/// # Errors
/// It is, and could not be delivered.
pub(super) fn deliver(settings: &Settings, home: &Home, name: &OsStr) -> Result<Option<Repaired>, CommandError> {
    let unusable = |cause| CommandError::StateDirectory { path: settings.state_dir.join("runs").join(name), cause };
    let run = match inspect(home, name, &settings.database.identity()).map_err(unusable)? {
        Leftover::Dead(run) => run,
        left @ (Leftover::Alive | Leftover::Foreign { .. } | Leftover::Quarantined { .. } | Leftover::Newer { .. }) => {
            left.log(name);
            return Ok(None);
        }
    };
    let parcel = run.parcel().map_err(unusable)?;
    let run_id = run.account.begin.run.run_id;
    // The journal names its table, which need not be the one that is configured now.
    let settings = Settings { table: run.account.begin.table.clone(), ..settings.clone() };
    let recovered = ask(&settings, "deliver a run", move |store| {
        let before = store.show(&run_id.to_string())?;
        parcel.deliver(store)?;
        Ok(Repaired { before, after: store.show(&run_id.to_string())? })
    })?;
    home.remove_run(&run.directory).map_err(unusable)?;
    log::info!(event = "recovered", run_id:%; "");
    Ok(Some(recovered))
}

/// Presumes lost what is overdue.
fn from_leases(settings: &Settings) -> Result<Vec<Repaired>, CommandError> {
    let overdue = ask(settings, "look for lost runs", |store| store.overdue())?;
    let mut done = Vec::new();
    for run_id in overdue {
        let presumption = lease_ran_out();
        let purpose = "end the record of a lost run";
        done.extend(ask(settings, purpose, move |store| presume(store, run_id, presumption.clone()))?);
    }
    Ok(done)
}

fn presume(store: &mut dyn Store, run_id: RunId, presumption: Presumption) -> Result<Option<Repaired>, StoreError> {
    let before = store.show(&run_id.to_string())?;
    // Judged again in the statement: a heartbeat may have come meanwhile, or another recover.
    if store.apply(run_id, &Change::Presume(presumption))? != Applied::Written {
        return Ok(None);
    }
    log::info!(event = "presumed_lost", run_id:%; "");
    Ok(Some(Repaired { before, after: store.show(&run_id.to_string())? }))
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
