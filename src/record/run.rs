//! The facts of a run: those known before the trainer starts, and those that come while it runs.
//! Plain data that the journal keeps and the stores write. Must not decide anything.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Report;

/// The key of a run in every place that knows of it: a `UUIDv7` made on the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl fmt::Display for RunId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The `id` of a row of the user's table, as text: the column may be an integer, a uuid or text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub String);

impl fmt::Display for RecordId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What is known of a run before its trainer starts. The content of the journal's first event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub run_id: RunId,
    /// What this run trains.
    pub name: String,
    /// `--model-version`; without it the store takes the next `vN` of the name.
    pub version: Option<String>,
    /// `--record-id`: a row that the application has inserted and this run makes its own.
    pub adopt: Option<RecordId>,
    /// `--set`: further columns of the inserted row, as typed.
    pub set: Vec<(String, String)>,
    /// When runwrap was started, UTC, whole microseconds.
    pub begun_at: DateTime<Utc>,
    /// The trainer's command, invalid UTF-8 replaced.
    pub command: Vec<String>,
    pub cwd: String,
    pub host: String,
    pub username: String,
    /// What helps later: commit, job id, container. Never an environment dump, never a secret.
    pub context: Map<String, Value>,
    /// `--model-path`, absolute.
    pub model_path: Option<String>,
    /// How long after its last heartbeat the run may be presumed lost, in seconds.
    pub lease_seconds: u32,
}

/// What the store answered to the beginning of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub record_id: RecordId,
    /// The `version` column of the row; `None` where an adopted row or a table has none.
    pub version: Option<String>,
}

/// What is known of a run that has begun, beyond [`Run`]: a sign of life and all that was reported so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When the trainer was started, UTC: the `train_start_time` column. `None` before it was.
    pub started_at: Option<DateTime<Utc>>,
    /// When the run was last known to live, UTC by the run's own clock: the start plus the elapsed boot time.
    pub seen_at: Option<DateTime<Utc>>,
    /// The trainer's process id on its host.
    pub pid: Option<i32>,
    /// The name of the signal that runwrap was first asked to stop with, or sent at a timeout.
    pub stop_signal: Option<String>,
    pub report: Report,
}
