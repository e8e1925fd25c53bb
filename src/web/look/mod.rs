//! The data that pages, API and metrics show: plain values, read from the database by one look each. Must not render or read.

mod query;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use self::query::{BadQuery, CompareQuery, Query, RunsQuery};
pub(crate) use self::query::{decoded, encoded};
pub use crate::record::Difference;
use crate::record::Series;
pub use crate::store::Pulse;
use crate::store::RecordView;

/// A value as the last successful look at the database found it.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    pub value: Arc<T>,
    /// When the look was made, by this host's clock.
    pub at: DateTime<Utc>,
    /// The looks since then have failed: the value is old.
    pub away: Option<Away>,
}

/// A database that does not answer a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away {
    /// The first failure in a row.
    pub since: DateTime<Utc>,
    /// The last one. Holds no password, and may hold any text of the server.
    pub error: String,
    /// The next step, if a person must act.
    pub hint: Option<String>,
}

/// The answer to a question. An error: it was never answered, or so long ago that the answer is forgotten.
pub type Looked<T> = Result<Seen<T>, Away>;

/// One page of the list, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunsPage {
    pub runs: Vec<ListedRun>,
    /// The key of the next page, for [`RunsQuery::before`]; `None` on the last page.
    pub next: Option<String>,
}

/// A row of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedRun {
    /// As `runwrap list --json` shows it. On a page without the columns of the user's table that a list does not show.
    pub record: RecordView,
    /// Of its first metric: losses before accuracies before others. Always `None` in the API.
    pub curve: Option<Sparkline>,
}

/// A curve without its axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparkline {
    /// The metric.
    pub name: String,
    /// Equally spaced; `None` where the values are no numbers.
    pub values: Vec<Option<f64>>,
}

/// Everything known of one record.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPage {
    /// As `runwrap show --json` shows it, with `attempts` and `children` if there are any. The decisions about it are in
    /// `context.finalized`, the notes in `context.notes`.
    pub record: RecordView,
    /// The most useful curves come first: losses before accuracies before others, counters of steps last.
    pub series: Vec<Series>,
}

/// Some records side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// In the order of the query. The records are without metrics and context, which the differences have.
    pub runs: Vec<RunPage>,
    /// The ids of the query that name no record.
    pub missing: Vec<String>,
    /// The values in which the records differ, as `runwrap diff` shows them.
    pub differences: Vec<Difference>,
}

/// The state of the service and of its database.
#[derive(Clone, Debug)]
pub struct Health {
    /// Without user and password: `sqlite:/data/runs.db`.
    pub database: String,
    /// The user's table, as typed.
    pub table: String,
    pub pulse: Looked<Pulse>,
    /// Records in training that no run watches, without a sign of life for [`Self::stuck_after_seconds`].
    pub stuck: Looked<u64>,
    pub stuck_after_seconds: u64,
    /// The journals of this host that wait for their delivery.
    pub journals: Result<Vec<WaitingJournal>, String>,
    /// With `--recover`.
    pub recovery: Option<Recovery>,
    /// The last errors of the database, the newest first.
    pub errors: Vec<DatabaseError>,
    /// What `runwrap doctor` reports of the database, without a rehearsal.
    pub checks: Looked<Vec<Check>>,
    /// When this service started.
    pub started_at: DateTime<Utc>,
}

/// A journal that waits for its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingJournal {
    pub detail: String,
    /// The next step.
    pub repair: String,
}

/// The recovery beside the pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    pub every_seconds: u64,
    /// The end of the last round, by this host's clock.
    pub last_round: Option<DateTime<Utc>>,
    /// The records that it has ended since the service started, by their reasons.
    pub ended: BTreeMap<String, u64>,
    /// The error of the last round.
    pub error: Option<String>,
}

/// An error of the database, with its repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseError {
    /// The last time, by this host's clock.
    pub at: DateTime<Utc>,
    pub class: ErrorClass,
    pub message: String,
    pub count: u64,
}

/// Whether a retry may heal an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    Transient,
    Permanent,
}

impl ErrorClass {
    pub const ALL: [Self; 2] = [Self::Transient, Self::Permanent];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}

/// A line of `runwrap doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub check: String,
    /// `ok`, `warning` or `failure`.
    pub state: String,
    pub detail: String,
    pub repair: Option<String>,
}

/// The value of a record's column; null if it has none.
pub fn value<'a>(record: &'a RecordView, key: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    record.0.get(key).unwrap_or(&NULL)
}
