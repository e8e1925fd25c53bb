//! The journal: the events of a run, on disk before any process acts on them. Delivery makes the database agree with it.
//!
//! # Layout
//!
//! ```text
//! STATE_DIR/                  owned by this user, 0700
//!   runs/RUN_ID.TAG/          one directory per run, 0700; removed once the database has the end
//!     journal-1.jsonl         the events, append-only, 0600; after an fsync error journal-2 takes over, whole
//!     report.jsonl            what the trainer reports (RUNWRAP_REPORT), appended by the trainer
//!     seen                    when a keeper first saw each part of it (`sightings`); only if there is something
//!     lock                    byte 0: who may write the journal; byte 1: the keeper; all with byte 2: a recoverer. Freed by
//!                             the kernel. Its content names the holder's host and boot; each heartbeat touches it
//!   quarantine/RUN_ID.TAG/    a run whose journal is damaged, put aside for a person
//! ```
//!
//! # Format
//!
//! A line is one event as JSON, `{"seq":N,"elapsed_us":N,"event":"…",…,"crc":"xxxxxxxx"}`. `seq` counts from 0 without
//! gaps. `elapsed_us` is boot time since the run began; an event's time is the beginning's wall time plus it. `crc` is CRC-32 of
//! the line's bytes before `,"crc"`.
//!
//! # Recovery rules
//!
//! - A last line without newline is ignored: the writer died there.
//! - A complete line that is invalid JSON, has a wrong checksum or a wrong `seq` is damage: the run moves to `quarantine/`.
//! - The first event is `begin`. Its `format` is [`FORMAT`]. A journal of a higher format is reported and never written.
//! - Of several journals the one with the highest number that has a `begin` is valid.
//!
//! | | written by format 1 | by a later format |
//! |---|---|---|
//! | read by this program | yes | only `format` |
//! | appended by this program | yes | never |
//!
//! Must not use a database or decide an outcome.

mod directory;
mod event;
mod holder;
mod line;
mod report;
mod run_state;
mod sharing;
mod sightings;
mod stderr;
mod writer;

pub(crate) use directory::{
    Home, LockState, RunDirectory, is_hidden, may_be_for, read_run_state, run_id_of, run_name, tag,
};
pub(crate) use event::{Begin, Ended, FORMAT, JournalEntry, RunEvent};
pub(crate) use holder::FreeLock;
pub(crate) use line::Damage;
pub(crate) use report::{ReportReader, Sight, discard_temporary_report, snapshot, temporary_report};
pub(crate) use run_state::RunState;
pub(crate) use stderr::StderrTail;
pub(crate) use writer::{Appended, JournalFile, Medium, Writer, sync};
