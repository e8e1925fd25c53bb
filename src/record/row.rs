//! One record, the input of the rules: plain data, and the conditions that several rules test. Pure.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Reason, Status, Usage};

/// A record: its row in the user's table, and the newest row of `runwrap_runs` that describes it. Fields of a missing run are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// `None`: NULL, or a word of the application's own.
    pub status: Option<Status>,
    pub train_start_time: Option<DateTime<Utc>>,
    pub train_end_time: Option<DateTime<Utc>>,
    /// Seconds. The rules write whole ones; an application may have written fractions.
    pub train_duration: Option<f64>,
    pub train_metrics: Option<Map<String, Value>>,
    pub model_path: Option<String>,
    pub error_message: Option<String>,
    /// Insertion of the row, if the table has the column.
    pub created_at: Option<DateTime<Utc>>,
    /// The application's last write to the row, if the table has the column.
    pub updated_at: Option<DateTime<Utc>>,
    /// False if a time or the duration holds a value that is neither NULL nor readable.
    pub is_legible: bool,

    pub reason: Option<Reason>,
    pub exit_code: Option<i32>,
    pub signal: Option<String>,
    pub stop_signal: Option<String>,
    pub pid: Option<i32>,
    pub usage: Option<Usage>,
    pub model_bytes: Option<i64>,
    /// The end was presumed; the run's own journal did not report it.
    pub presumed: bool,
    /// `None`: no run ever watched the record; the application made it.
    pub watch: Option<Watch>,
    pub recovered_at: Option<DateTime<Utc>>,
    pub recovered_by: Option<String>,
}

/// The lease of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The last heartbeat, by the database's clock. The lease counts from here.
    pub heartbeat_at: DateTime<Utc>,
    /// The last sign of life, by the run's clock. A presumed end is this moment.
    pub last_seen_at: DateTime<Utc>,
    pub lease_seconds: u32,
    /// The timeline of the database that received the last heartbeat, if it has timelines.
    pub timeline: Option<i64>,
}

impl Row {
    /// Only `--force` overwrites such an end.
    pub(super) const fn is_truth(&self) -> bool {
        self.reason.is_some() && !self.presumed
    }

    /// Whether runwrap may write the user's row. If the application or a person closed it, their end stands, and only
    /// `runwrap_runs` records the run's end.
    pub(super) fn is_open(&self) -> bool {
        self.is_training() || (self.presumed && self.status == Some(Status::Failed))
    }

    pub(super) fn is_training(&self) -> bool {
        self.status == Some(Status::Training)
    }
}

impl Watch {
    /// Advances `last_seen_at` if `seen_at` is later.
    pub(super) fn seen(self, seen_at: Option<DateTime<Utc>>) -> Self {
        Self { last_seen_at: self.last_seen_at.max(seen_at.unwrap_or(self.last_seen_at)), ..self }
    }
}
