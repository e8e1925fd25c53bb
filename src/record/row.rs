//! One record as the rules see it. Plain data, and the questions that every rule asks of it. Pure.
//! Called by `merge` and `decide`.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Reason, Status, Usage};

/// What the database knows of one record: its row in the user's table, then the last row of `runwrap_runs` that describes
/// it. Where there is none, what that would say is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub status: Status,
    pub train_start_time: Option<DateTime<Utc>>,
    pub train_end_time: Option<DateTime<Utc>>,
    pub train_duration: Option<i64>,
    pub train_metrics: Option<Map<String, Value>>,
    pub model_path: Option<String>,
    pub error_message: Option<String>,
    /// When the row was inserted, and when the application last wrote it, where the table says so.
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,

    pub reason: Option<Reason>,
    pub exit_code: Option<i32>,
    pub signal: Option<String>,
    pub stop_signal: Option<String>,
    pub pid: Option<i32>,
    pub usage: Option<Usage>,
    /// The end was presumed, not told by the run's own journal.
    pub presumed: bool,
    /// `None` where nothing has ever watched the record: the application made it by itself.
    pub watch: Option<Watch>,
    pub recovered_at: Option<DateTime<Utc>>,
    pub recovered_by: Option<String>,
}

/// What a run's signs of life have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The last sign of life, by the database's clock: what a lease is judged by.
    pub heartbeat_at: DateTime<Utc>,
    /// The last sign of life, by the run's clock: what a presumed end is.
    pub last_seen_at: DateTime<Utc>,
    pub lease_seconds: u32,
}

impl Row {
    /// An end that only an operator's force may overwrite.
    pub(super) const fn is_truth(&self) -> bool {
        self.reason.is_some() && !self.presumed
    }

    /// Whether the row in the user's table is runwrap's to write. It is not where the application, or a person,
    /// has closed it meanwhile: then that stands, and only `runwrap_runs` learns what runwrap saw.
    pub(super) fn is_open(&self) -> bool {
        self.status == Status::Training || (self.presumed && self.status == Status::Failed)
    }
}

impl Watch {
    /// With a sign of life, which counts where it is later than those before.
    pub(super) fn seen(self, seen_at: Option<DateTime<Utc>>) -> Self {
        Self { last_seen_at: self.last_seen_at.max(seen_at.unwrap_or(self.last_seen_at)), ..self }
    }
}
