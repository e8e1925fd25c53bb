//! The journal: what really happened to a run, on disk before anyone is told of it. The database is made to agree with it.
//!
//! # Layout
//!
//! ```text
//! STATE_DIR/                  owned by this user, 0700
//!   runs/RUN_ID.TAG/          one directory per run, 0700; removed once the database has the end
//!     journal-1.jsonl         the events, append-only, 0600; after an fsync error journal-2 takes over, whole
//!     report.jsonl            what the trainer reports (RUNWRAP_REPORT), appended by the trainer
//!     lock                    byte 0: who may write the journal; byte 1: the keeper. Freed by the kernel
//!   quarantine/RUN_ID.TAG/    a run whose journal is damaged, put aside for a person
//! ```
//!
//! # Format
//!
//! A line is one event as JSON, `{"seq":N,"elapsed_us":N,"event":"…",…,"crc":"xxxxxxxx"}`. `seq` counts from 0 without
//! gaps. `elapsed_us` is boot time since the run began: moments are the beginning's wall time plus it. `crc` is CRC-32 of
//! the line's bytes before `,"crc"`.
//!
//! # Recovery rules
//!
//! - A line without its newline is void, and so is what would follow it: the writer died there.
//! - A complete line that does not read, has a wrong checksum or a wrong `seq` is damage: the run is put aside.
//! - The first event is `begin`. Its `format` is [`FORMAT`]; a higher one is left alone and named, never written.
//! - The journal with the highest number that has a `begin` counts.
//!
//! | | written by format 1 | by a later format |
//! |---|---|---|
//! | read by this program | yes | only that it is later |
//! | appended by this program | yes | never |
//!
//! Must not speak to a database or decide an outcome. Called by supervisor and keeper (write), delivery and commands (read).

mod directory;
mod line;
mod report;
mod run_state;
mod stderr;
mod writer;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::record::{Begun, Run, TrainerExit, Usage};

pub use directory::{Home, LockState, RunDirectory, is_hidden, may_be_for, read_run_state, run_id_of, run_name, tag};
pub use line::{Damage, read_lines};
pub use report::{ReportReader, Snapshot, discard_temporary_report, read_metrics_file, snapshot, temporary_report};
pub use run_state::{RunState, Started, StopRequest};
pub use stderr::StderrTail;
pub use writer::{Appended, JournalFile, Medium, Writer};

/// The format that this program writes.
pub const FORMAT: u32 = 1;

/// One line: an event, its number and its moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    pub seq: u64,
    /// Boot time since the run began, in microseconds.
    pub elapsed_us: u64,
    #[serde(flatten)]
    pub event: RunEvent,
}

/// Everything that can happen to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// The run begins. Always the first.
    Begin(Box<Begin>),
    /// The database has the record.
    Recorded(Begun),
    /// The trainer was executed.
    Started { pid: i32 },
    /// Somebody asked runwrap to stop; written before the signal is relayed.
    StopRequested { signal: String, sender_pid: Option<i32>, sender_uid: Option<u32> },
    /// `--timeout` ran out; written before SIGTERM is sent.
    TimedOut { signal: String },
    /// The trainer has ended, or never ran. Always the last.
    Ended(Ended),
}

/// The first event: the run, and what it takes to deliver it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    pub format: u32,
    pub run: Run,
    /// The database that the run is meant for, without user or password; it is never delivered to another.
    pub database: String,
    /// The user's table in it.
    pub table: String,
    /// `--metrics-file`, absolute.
    pub metrics_file: Option<String>,
    /// How that file looked before the trainer started: unchanged, it is another run's.
    pub metrics_file_before: Option<Snapshot>,
    /// The boot clock at the beginning, in microseconds: whoever takes the journal over goes on counting from it.
    pub begun_boot_us: u64,
}

/// The last event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub exit: TrainerExit,
    pub usage: Option<Usage>,
    /// The content of `--metrics-file` at the end.
    pub metrics: Option<Map<String, Value>>,
    /// The end of the trainer's stderr, where it could be read back.
    pub stderr_tail: Option<String>,
}

impl Begin {
    /// Boot time since the run began, in microseconds. `boot_time` is the clock's now.
    #[must_use]
    pub fn elapsed_us(&self, boot_time: Duration) -> u64 {
        u64::try_from(boot_time.as_micros()).unwrap_or(u64::MAX).saturating_sub(self.begun_boot_us)
    }

    /// The moment `elapsed_us` after the beginning, UTC.
    #[must_use]
    pub fn moment(&self, elapsed_us: u64) -> DateTime<Utc> {
        let elapsed = chrono::TimeDelta::microseconds(i64::try_from(elapsed_us).unwrap_or(i64::MAX));
        self.run.begun_at.checked_add_signed(elapsed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
