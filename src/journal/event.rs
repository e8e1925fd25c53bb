//! The events of a journal as they are written to disk. Plain data; must not read or write files.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::report::Snapshot;
use crate::libpq::SslMode;
use crate::record::{Begun, Run, TrainerExit, Usage};

/// The format that this program writes.
pub(crate) const FORMAT: u32 = 1;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JournalEntry {
    pub seq: u64,
    /// Boot time since the run began, in microseconds.
    pub elapsed_us: u64,
    #[serde(flatten)]
    pub event: RunEvent,
}

/// The events of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum RunEvent {
    /// The run begins. Always the first event.
    Begin(Box<Begin>),
    /// The database has the record.
    Recorded(Begun),
    /// The trainer was executed. `start_ticks`: a later process with its id has another start time.
    Started { pid: i32, start_ticks: Option<u64> },
    /// runwrap was asked to stop. Written before the signal is relayed.
    StopRequested { signal: String, sender_pid: Option<i32>, sender_uid: Option<u32> },
    /// `--timeout` ran out. Written before SIGTERM is sent.
    TimedOut { signal: String },
    /// The trainer has ended, or was never executed. Always the last event.
    Ended(Ended),
}

/// The first event: the run, and the facts needed to deliver it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    pub format: u32,
    pub run: Run,
    /// The address of the database, without user and password.
    pub database: String,
    /// The same with the user and all that chooses a schema. The run is delivered to no other place. `None`: an earlier runwrap.
    #[serde(default)]
    pub place: Option<String>,
    /// The least protection of the connection that delivers it.
    #[serde(default)]
    pub sslmode: Option<SslMode>,
    /// The user's table in that database, as typed.
    pub table: String,
    /// The most metrics whose history is kept.
    #[serde(default = "curves_default")]
    pub curves: usize,
    /// `--metrics-file`, absolute.
    pub metrics_file: Option<String>,
    /// The metrics file before the start. If it is unchanged at the end, it belongs to an earlier run.
    pub metrics_file_before: Option<Snapshot>,
    /// The boot clock at the beginning, in microseconds. A keeper that takes over computes `elapsed_us` from it.
    pub begun_boot_us: u64,
}

/// `--curves` of an earlier runwrap.
const fn curves_default() -> usize {
    64
}

/// The last event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub exit: TrainerExit,
    pub usage: Option<Usage>,
    /// The content of `--metrics-file` at the end.
    pub metrics: Option<Map<String, Value>>,
    /// The end of the trainer's stderr, if it could be read.
    pub stderr_tail: Option<String>,
    /// After a takeover: the processes of the run that were not stopped.
    pub unstopped: Option<String>,
}

impl Begin {
    /// The database that the journal is meant for, for messages and `recover --from`.
    pub fn meant_for(&self) -> &str {
        self.place.as_deref().unwrap_or(&self.database)
    }

    /// Boot time since the run began, in microseconds. `boot_time` is the clock's present value.
    pub fn elapsed_us(&self, boot_time: Duration) -> u64 {
        u64::try_from(boot_time.as_micros()).unwrap_or(u64::MAX).saturating_sub(self.begun_boot_us)
    }

    /// The time `elapsed_us` after the beginning, UTC.
    pub fn moment(&self, elapsed_us: u64) -> DateTime<Utc> {
        let elapsed = chrono::TimeDelta::microseconds(i64::try_from(elapsed_us).unwrap_or(i64::MAX));
        self.run.begun_at.checked_add_signed(elapsed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
