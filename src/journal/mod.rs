//! The journal: what really happened to a run, on disk before anyone is told of it. The database is made to agree with it.
//!
//! # Layout
//!
//! ```text
//! STATE_DIR/                  owned by this user, 0700
//!   runs/RUN_ID/              one directory per run, 0700; gone once the database has the end
//!     journal-1.jsonl         the events, append-only, 0600; after an fsync error journal-2 takes over, whole
//!     report.jsonl            what the trainer reports (RUNWRAP_REPORT), appended by the trainer
//!     lock                    byte 0: who may write the journal; byte 1: the keeper. Freed by the kernel
//!   quarantine/RUN_ID/        a run whose journal is damaged, put aside for a person
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
mod event;
mod line;
mod report;
mod run_state;
mod stderr;
mod writer;

pub use directory::{Home, LockState, RunDirectory, read_run_state};
pub use event::{Begin, Ended, FORMAT, JournalEntry, RunEvent};
pub use line::{Damage, read_lines};
pub use report::{ReportReader, Snapshot, discard_temporary_report, read_metrics_file, snapshot, temporary_report};
pub use run_state::{RunState, Started, StopRequest};
pub use stderr::StderrTail;
pub use writer::{Appended, JournalFile, Medium, Writer};
