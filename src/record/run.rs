//! The facts of a run: those known before the trainer starts, and its progress. Plain data for journal and store.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Report;

/// The key of a run in journal, database and messages: a UUIDv7 made by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl fmt::Display for RunId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The `id` of a row in the user's table, as text: the column may be an integer, a uuid or text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub String);

impl fmt::Display for RecordId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The facts known before the trainer starts, as written to the journal's first event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub run_id: RunId,
    /// The name of the trained model.
    pub name: String,
    /// `--model-version`; without it the store allocates the next `vN` of the name.
    pub version: Option<String>,
    /// `--record-id`: an existing row of the application that this run adopts.
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
    /// The environment for later diagnosis: commit, job id, container. Never an environment dump or a secret.
    pub context: Map<String, Value>,
    /// `--model-path`, absolute.
    pub model_path: Option<String>,
    /// Seconds after the last heartbeat until the run may be presumed lost.
    pub lease_seconds: u32,
    #[serde(default)]
    pub circumstances: Circumstances,
    /// `--unless-running`: the run does not begin while another run of its name has no end.
    #[serde(default)]
    pub is_exclusive: bool,
}

/// The facts of a run that its trainer does not depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Circumstances {
    /// The run whose trainer started this one.
    pub parent_run_id: Option<RunId>,
    /// `--job`: the runs of one job are its attempts, which the store counts from 1.
    pub job: Option<String>,
    /// `--tag`. The value of a tag without one is empty.
    pub tags: BTreeMap<String, String>,
    /// The regular file that stdout was redirected to. Absolute.
    pub stdout_path: Option<String>,
    pub stderr_path: Option<String>,
}

/// The store's result of beginning a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub record_id: RecordId,
    /// The `version` column of the row; `None` if an adopted row or the table has none.
    pub version: Option<String>,
    /// The user's table with its schema, quoted, if the database resolved the schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

/// The facts of a running or ended run: a sign of life, and everything reported so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The start of the trainer, UTC: the `train_start_time` column. `None` before it.
    pub started_at: Option<DateTime<Utc>>,
    /// The last sign of life, UTC by the run's own clock: the start plus the elapsed boot time.
    pub seen_at: Option<DateTime<Utc>>,
    /// The trainer's process id on its host.
    pub pid: Option<i32>,
    /// The first stop request, or the signal sent at a timeout.
    pub stop_signal: Option<String>,
    pub report: Report,
    /// The size of the model's file at the end of the run.
    pub model_bytes: Option<i64>,
}

#[cfg(test)]
impl Run {
    /// A run for tests, with a lease of 300 s.
    pub(crate) fn sample(name: &str, begun_at: DateTime<Utc>) -> Self {
        Self {
            run_id: RunId(Uuid::now_v7()),
            name: name.into(),
            version: None,
            adopt: None,
            set: Vec::new(),
            begun_at,
            command: vec!["true".into()],
            cwd: "/".into(),
            host: "gpu-7".into(),
            username: "ann".into(),
            context: Map::new(),
            model_path: None,
            lease_seconds: 300,
            circumstances: Circumstances::default(),
            is_exclusive: false,
        }
    }
}
