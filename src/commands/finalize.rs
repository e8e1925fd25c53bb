//! `runwrap finalize`: ends a record as an operator decides, and prints it before and after.

use std::env;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::ask::ask;
use super::error::CommandError;
use super::invocation::FinalizeArgs;
use super::repaired::{column, shown};
use super::report::absolute_path;
use crate::config::Settings;
use crate::delivery::recoverer;
use crate::output;
use crate::record::{Applied, Decision, RecordId, Status, Verdict, read_instant};
use crate::store::RecordView;
use crate::sys::clock;

/// Ends a record according to `args`.
///
/// # Errors
/// There is no such record, its end is known already, the given end is impossible, or the database did not answer.
pub(super) fn finalize(settings: &Settings, args: &FinalizeArgs) -> Result<(), CommandError> {
    let verdict = verdict(args)?;
    let (id, decision) = (args.id.clone(), Decision::Close(verdict));
    let decided = ask(settings, "finalize the record", move |store| {
        let Some(entry) = store.show(&id)? else { return Ok(None) };
        let record_id = RecordId(shown(&column(Some(&entry), "id")));
        store.decide(&record_id, &decision).map(Some)
    })?;
    let missing = || CommandError::NoSuchRecord { id: args.id.clone(), database: settings.database.identity() };
    let decided = decided.ok_or_else(missing)?;
    match decided.applied {
        Applied::Missing => Err(missing()),
        Applied::InPart | Applied::Kept | Applied::Renewed => Err(refusal(args, decided.before.as_ref())),
        Applied::Written => {
            warn_of_life(&args.id, decided.before.as_ref());
            log::info!(event = "finalized", id = args.id, forced = args.force; "record {} is finalized", args.id);
            Ok(output::print(&decided.as_line())?)
        }
    }
}

fn verdict(args: &FinalizeArgs) -> Result<Verdict, CommandError> {
    let (by, when) = recoverer();
    let model_path = args.model_path.as_ref().map(|typed| absolute_path(typed, env::current_dir)).transpose()?;
    Ok(Verdict {
        status: if args.completed { Status::Completed } else { Status::Failed },
        ended_at: args.ended_at,
        explanation: args.explanation.clone(),
        metrics: args.metrics.clone(),
        model_path,
        force: args.force,
        message: format!("ended by hand: {by} said so at {when}"),
        by,
        at: clock::wall_time(),
    })
}

/// The reason why the rules kept the record.
fn refusal(args: &FinalizeArgs, before: Option<&RecordView>) -> CommandError {
    let refused = |why: String, hint| CommandError::NotFinalized { id: args.id.clone(), why, hint };
    let word = |name: &str| shown(&column(before, name));
    let started_at = read_instant(&word("train_start_time"));
    let is_before = |ended_at: DateTime<Utc>| started_at.is_some_and(|started_at| ended_at < started_at);
    if args.ended_at.is_some_and(is_before) {
        let why = format!("it started at {}, after the given end", output::utc(&word("train_start_time")));
        return refused(why, "write the offset of a local time, such as +01:00; without one it is UTC");
    }
    // The rules keep an open record only because of the given end.
    let is = |status: Status| word("status") == status.as_str();
    let is_presumed = column(before, "presumed") == Value::Bool(true);
    let is_open = is(Status::Training) || (is_presumed && is(Status::Failed));
    if args.force || is_open {
        let hint = "write the time in UTC; the database's clock decides";
        return refused("the given end is in the future".to_owned(), hint);
    }
    let (status, reason) = (word("status"), word("reason"));
    refused(format!("it has ended already: {status} ({reason})"), "use --force to override it")
}

/// Warns if the run may still be alive: its own end will not change the record.
fn warn_of_life(id: &str, before: Option<&RecordView>) {
    let seen = column(before, "last_seen_seconds_ago");
    let lease = column(before, "lease_seconds");
    if let (Some(seen), Some(lease)) = (seen.as_i64(), lease.as_i64())
        && column(before, "reason") == Value::Null
        && seen <= lease
    {
        log::warn!(event = "finalized_alive", id, hint = "stop it; its own end will not change the record";
            "the run of record {id} may still be alive: it was seen {}", output::ago(seen));
    }
}
