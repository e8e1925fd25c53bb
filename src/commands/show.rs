//! `runwrap show`: everything known of one record.

use serde_json::Value;

use super::ShowArgs;
use super::ask::ask;
use super::curves::{curves, listed};
use super::error::CommandError;
use super::portrait::portrait;
use super::repaired::column;
use crate::config::Settings;
use crate::output::{self, formatted};
use crate::record::{Series, points};
use crate::store::{RecordView, Store, StoreError};
use crate::sys::clock::wall_time;

/// The columns of a point.
const POINT: [&str; 5] = ["x", "seconds", "value", "low", "high"];

/// Prints the record that `args.id` names: its own id, or its run's. Or the points of one of its curves.
///
/// # Errors
/// There is no such record or curve, the database did not answer, or stdout cannot be written.
pub(super) fn show(settings: &Settings, args: &ShowArgs) -> Result<(), CommandError> {
    let wanted = args.clone();
    let found = ask(settings, "show the record", move |store| found(store, &wanted))?;
    let missing = || CommandError::NoSuchRecord { id: args.id.clone(), database: settings.database.identity() };
    let (entry, series) = found.ok_or_else(missing)?;
    if let Some(name) = args.points.iter().chain(&args.curves).find(|name| !has(&series, name)) {
        return Err(no_such_series(args, name, &series));
    }
    if let Some(name) = &args.points {
        let points = series.iter().filter(|series| series.name == *name).flat_map(points).collect();
        return Ok(output::print_data(&formatted(args.format, &POINT, points))?);
    }
    if args.json {
        return Ok(output::print(&output::json(&Value::Object(entry.0)))?);
    }
    let curves = curves(&series, &args.curves, &column(Some(&entry), "train_metrics"), output::terminal_columns());
    let text = portrait(&entry, &curves, wall_time());
    Ok(output::print(&output::styled(text, args.color))?)
}

/// The record with its related ones, and its series unless JSON is wanted.
fn found(store: &mut Store, args: &ShowArgs) -> Result<Option<(RecordView, Vec<Series>)>, StoreError> {
    let Some(entry) = store.show_with_related(&args.id)? else { return Ok(None) };
    let run_id = column(Some(&entry), "run_id");
    let series = match run_id.as_str().filter(|_| !args.json) {
        // These must be there.
        Some(run_id) if args.points.is_some() => {
            store.series(&[run_id.to_owned()], &[])?.into_iter().map(|(_, series)| series).collect()
        }
        Some(run_id) => store.readable_series(run_id)?,
        None => Vec::new(),
    };
    Ok(Some((entry, series)))
}

fn has(all: &[Series], name: &str) -> bool {
    all.iter().any(|series| series.name == name)
}

fn no_such_series(args: &ShowArgs, name: &str, all: &[Series]) -> CommandError {
    let names: Vec<&str> = all.iter().map(|series| series.name.as_str()).collect();
    let hint = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", listed(&names)) };
    CommandError::NoSuchSeries { id: args.id.clone(), name: name.to_owned(), hint }
}
