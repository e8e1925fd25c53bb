//! Judges the facts: a line for each check, with its state (ok, warning, failure) and the next step. Pure.

mod database;
mod state;
mod system;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::facts::{Configuration, Facts, Trouble};
use crate::sys::file_system::FileSystem;

/// Less room than this holds no run's journal for long.
const ROOM_BYTES_MIN: u64 = 1 << 20;
/// Less room than this deserves attention.
const ROOM_BYTES_LOW: u64 = 64 << 20;
const ROOM_FILES_LOW: u64 = 1000;

/// The check of the rights in the database.
pub(super) const RIGHTS: &str = "rights";

/// One examined fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) detail: String,
    /// The next step; none if it is well.
    pub(super) repair: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    /// No run loses a promise, unless something else fails too.
    Warning,
    /// A run would lose a promise.
    Failure,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

impl Line {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, detail: detail.into(), repair: None }
    }

    fn warning(check: &'static str, detail: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { check, state: State::Warning, detail: detail.into(), repair: Some(repair.into()) }
    }

    fn failure(check: &'static str, detail: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { check, state: State::Failure, detail: detail.into(), repair: Some(repair.into()) }
    }

    fn trouble(check: &'static str, trouble: &Trouble) -> Self {
        Self::failure(check, &trouble.detail, &trouble.repair)
    }
}

/// The lines about `facts`, in the order in which a run meets them.
pub(super) fn judge(facts: &Facts) -> Vec<Line> {
    let mut lines = configuration(&facts.configuration);
    lines.extend(database::judge(&facts.database));
    lines.extend(state::judge(&facts.state));
    lines.extend(system::judge(&facts.system));
    lines
}

/// The lines about the database alone.
pub(super) fn judge_database(facts: &super::facts::DatabaseFacts) -> Vec<Line> {
    database::judge(facts)
}

fn configuration(facts: &Configuration) -> Vec<Line> {
    const CHECK: &str = "configuration";
    let place =
        |place: &super::facts::Place| Line::ok(CHECK, format!("{}: {} ({})", place.name, place.value, place.origin));
    let homeless = |path: &std::path::PathBuf| {
        let detail =
            format!("there is no home directory: {} may be lost with this container or machine", path.display());
        Line::warning(CHECK, detail, "set HOME, or --state-dir and --database-url, to a place that is kept")
    };
    let given = facts.given.iter().map(|given| Line::ok(CHECK, given.clone()));
    facts.places.iter().map(place).chain(given).chain(facts.homeless.iter().map(homeless)).collect()
}

/// The room of the file system of `what`.
fn room(check: &'static str, what: &str, found: &FileSystem, repair: &str) -> Line {
    let FileSystem { kind, free_bytes, free_files, .. } = found;
    let files = free_files.map_or_else(String::new, |files| format!(" and {files} files"));
    let detail = format!("{}{files} free for {what}, on {kind}", size(*free_bytes));
    let has_files = |least: u64| free_files.is_none_or(|files| files >= least);
    match free_bytes {
        _ if !has_files(1) => Line::failure(check, detail, repair),
        ..ROOM_BYTES_MIN => Line::failure(check, detail, repair),
        ..ROOM_BYTES_LOW => Line::warning(check, detail, repair),
        _ if !has_files(ROOM_FILES_LOW) => Line::warning(check, detail, repair),
        _ => Line::ok(check, detail),
    }
}

/// `12.3 GiB`
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let Some(unit) = (0..UNITS.len()).rev().find(|unit| bytes >> (10 * (unit + 1)) > 0) else {
        return format!("{bytes} bytes");
    };
    // Tenths of the unit, rounded down.
    let tenths = (u128::from(bytes) * 10) >> (10 * (unit + 1));
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `12 ms`, `0.4 ms`
fn milliseconds(duration: Duration) -> String {
    match duration.as_micros() {
        micros @ ..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        micros => format!("{} ms", micros / 1000),
    }
}
