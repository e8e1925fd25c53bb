//! The state of a run, folded from its journal's events. Pure, except that it reads `--metrics-file`. The only code
//! that derives progress and ending from a journal.

use std::path::Path;

use serde_json::{Map, Value};

use super::line::{Damage, read_lines};
use super::report::{Sight, read_metrics_file};
use super::{Begin, Ended, JournalEntry, RunEvent};
use crate::record::{Begun, Ending, Progress, Report, TrainerExit, elapsed_seconds, ending_of};

#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    pub begin: Begin,
    pub recorded: Option<Begun>,
    pub started: Option<Started>,
    /// The first stop request.
    pub stop: Option<StopRequest>,
    /// The end and its time.
    pub ended: Option<(Ended, u64)>,
    /// The number of events.
    pub events: u64,
    /// The time of the last event.
    pub last_elapsed_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    pub pid: i32,
    pub start_ticks: Option<u64>,
    pub elapsed_us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRequest {
    pub signal: String,
    pub timed_out: bool,
}

impl RunState {
    /// The state after the first event.
    pub(super) fn new(begin: Begin) -> Self {
        Self { begin, recorded: None, started: None, stop: None, ended: None, events: 1, last_elapsed_us: 0 }
    }

    /// The state that a journal describes, and the size of its whole lines in bytes.
    pub(super) fn from_lines(bytes: &[u8]) -> Result<(Self, usize), Damage> {
        let (entries, complete_bytes) = read_lines(bytes)?;
        Ok((Self::from_entries(&entries).ok_or(Damage::Empty)?, complete_bytes))
    }

    fn from_entries(entries: &[JournalEntry]) -> Option<Self> {
        let (JournalEntry { event: RunEvent::Begin(begin), .. }, rest) = entries.split_first()? else { return None };
        let mut state = Self::new((**begin).clone());
        for entry in rest {
            state.apply(entry);
        }
        Some(state)
    }

    /// The user's table: with its schema, once the database has resolved it.
    pub fn table(&self) -> &str {
        self.recorded.as_ref().and_then(|begun| begun.table.as_deref()).unwrap_or(&self.begin.table)
    }

    /// Applies the next event.
    pub(super) fn apply(&mut self, entry: &JournalEntry) {
        self.events += 1;
        self.last_elapsed_us = self.last_elapsed_us.max(entry.elapsed_us);
        match &entry.event {
            // Unreachable: the reader reports a second beginning as damage.
            RunEvent::Begin(_) => {}
            RunEvent::Recorded(begun) => self.recorded = Some(begun.clone()),
            RunEvent::Started { pid, start_ticks } => {
                self.started = Some(Started { pid: *pid, start_ticks: *start_ticks, elapsed_us: entry.elapsed_us });
            }
            RunEvent::StopRequested { signal, .. } | RunEvent::TimedOut { signal } => {
                let stop = self.stop.get_or_insert_with(|| StopRequest { signal: signal.clone(), timed_out: false });
                stop.timed_out |= matches!(entry.event, RunEvent::TimedOut { .. });
            }
            RunEvent::Ended(ended) => self.ended = Some((ended.clone(), entry.elapsed_us)),
        }
    }

    /// A look at the report file after the trainer's end, or after the death of every process.
    pub(crate) fn finished(&self) -> Sight {
        Sight::Finished { us: self.ended.as_ref().map_or(self.last_elapsed_us, |(_, elapsed_us)| *elapsed_us) }
    }

    /// The present content of `--metrics-file`, if this run has written it. An invalid file is logged: it may be
    /// incomplete.
    pub fn metrics_file(&self) -> Option<Map<String, Value>> {
        let path = self.begin.metrics_file.as_deref()?;
        read_metrics_file(Path::new(path), self.begin.metrics_file_before).unwrap_or_else(|error| {
            log::warn!(event = "metrics_file_skipped", run_id:% = self.begin.run.run_id;
                "cannot use the metrics file {path}: {error}");
            None
        })
    }

    /// The progress to deliver. `seen_us` is the time of the last sign of life, `report` everything that the trainer
    /// has reported.
    pub fn progress(&self, seen_us: u64, mut report: Report) -> Progress {
        if let Some((Ended { metrics: Some(metrics), .. }, _)) = &self.ended {
            // If both together exceed the limit, the file's metrics are dropped and the reported ones kept.
            let _too_long = report.absorb(Report { metrics: Some(metrics.clone()), ..Report::default() }).err();
        }
        let run = &self.begin.run;
        let reported = report.model_path.map(|path| Path::new(&run.cwd).join(path).to_string_lossy().into_owned());
        report.model_path = reported.or_else(|| run.model_path.clone());
        Progress {
            started_at: self.started.map(|started| self.begin.moment(started.elapsed_us)),
            seen_at: Some(self.begin.moment(seen_us.max(self.last_elapsed_us))),
            pid: self.started.map(|started| started.pid),
            stop_signal: self.stop.as_ref().map(|stop| stop.signal.clone()),
            report,
            model_bytes: None,
        }
    }

    /// The ending; `None` before the end. `reported_error` is the error that the trainer reported.
    pub fn ending(&self, reported_error: Option<&str>) -> Option<Ending> {
        let (ended, elapsed_us) = self.ended.as_ref()?;
        let stop = self.stop.as_ref();
        let (status, reason, outcome) =
            ending_of(&ended.exit, stop.map(|stop| stop.signal.as_str()), stop.is_some_and(|stop| stop.timed_out));
        let started_us = self.started.map_or(0, |started| started.elapsed_us);
        let elapsed = self.begin.moment(*elapsed_us) - self.begin.moment(started_us);
        let (exit_code, signal) = match &ended.exit {
            TrainerExit::Exited { code } => (Some(*code), None),
            TrainerExit::Signaled { name, .. } => (None, Some(name.clone())),
            TrainerExit::NotExecuted { .. } | TrainerExit::Unknown { .. } => (None, None),
        };
        let [unstopped, tail] =
            [&ended.unstopped, &ended.stderr_tail].map(|text| outcome.as_ref().and(text.as_deref()));
        let parts: Vec<&str> = [outcome.as_deref(), unstopped, reported_error, tail].into_iter().flatten().collect();
        Some(Ending {
            status,
            reason,
            ended_at: self.begin.moment(*elapsed_us),
            duration_seconds: elapsed_seconds(elapsed),
            exit_code,
            signal,
            error_message: if parts.is_empty() { None } else { Some(parts.join("\n")) },
            usage: ended.usage,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::json;

    use super::*;
    use crate::journal::FORMAT;
    use crate::record::{Circumstances, Reason, RecordId, Run, RunId, Status, Usage};

    pub(in crate::journal) fn sample_begin() -> Begin {
        Begin {
            format: FORMAT,
            run: Run {
                run_id: RunId(uuid::Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001)),
                name: "train".into(),
                version: None,
                adopt: None,
                set: vec![("owner".into(), "ann".into())],
                begun_at: "2025-11-26T18:00:00.500000Z".parse::<DateTime<Utc>>().unwrap(),
                command: vec!["python".into(), "train.py".into()],
                cwd: "/home/ann".into(),
                host: "gpu1".into(),
                username: "ann".into(),
                context: Map::new(),
                model_path: Some("/models/a.pt".into()),
                lease_seconds: 300,
                circumstances: Circumstances::default(),
                is_exclusive: false,
            },
            database: "sqlite:/data/runwrap.db".into(),
            place: None,
            sslmode: None,
            table: "training_records".into(),
            curves: 64,
            metrics_file: None,
            metrics_file_before: None,
            begun_boot_us: 7_000_000,
        }
    }

    pub(in crate::journal) fn sample_entries() -> Vec<JournalEntry> {
        let usage = Usage { cpu_user_seconds: 1.5, cpu_system_seconds: 0.25, max_rss_bytes: 1 << 20 };
        [
            (0, RunEvent::Begin(Box::new(sample_begin()))),
            (
                4_000,
                RunEvent::Recorded(Begun {
                    record_id: RecordId("30".into()),
                    version: Some("v12".into()),
                    table: None,
                }),
            ),
            (5_000, RunEvent::Started { pid: 4711, start_ticks: Some(99) }),
            (
                60_000_000,
                RunEvent::StopRequested { signal: "SIGTERM".into(), sender_pid: Some(1), sender_uid: Some(0) },
            ),
            (
                62_904_999,
                RunEvent::Ended(Ended {
                    exit: TrainerExit::Exited { code: 3 },
                    usage: Some(usage),
                    metrics: json!({"loss": 0.5}).as_object().cloned(),
                    stderr_tail: Some("Traceback …".into()),
                    unstopped: None,
                }),
            ),
        ]
        .into_iter()
        .zip(0..)
        .map(|((elapsed_us, event), seq)| JournalEntry { seq, elapsed_us, event })
        .collect()
    }

    #[test]
    fn complete_journal_has_progress_and_ending() {
        let state = RunState::from_entries(&sample_entries()).unwrap();
        let report = Report { metrics: json!({"loss": 1, "epoch": 2}).as_object().cloned(), ..Report::default() };
        let progress = state.progress(0, report);
        assert_eq!(progress.started_at.unwrap().to_rfc3339(), "2025-11-26T18:00:00.505+00:00");
        assert_eq!(progress.seen_at.unwrap().to_rfc3339(), "2025-11-26T18:01:03.404999+00:00");
        assert_eq!((progress.pid, progress.stop_signal.as_deref()), (Some(4711), Some("SIGTERM")));
        assert_eq!(progress.report.metrics, json!({"loss": 0.5, "epoch": 2}).as_object().cloned());
        assert_eq!(progress.report.model_path.as_deref(), Some("/models/a.pt"));
        let ending = state.ending(Some("out of luck")).unwrap();
        assert_eq!((ending.status, ending.reason, ending.exit_code), (Status::Failed, Reason::Cancelled, Some(3)));
        assert_eq!(ending.duration_seconds, 62);
        assert_eq!(
            ending.error_message.as_deref(),
            Some("asked to stop by SIGTERM: exited with code 3\nout of luck\nTraceback …")
        );
    }

    #[test]
    fn every_prefix_of_a_journal_is_valid() {
        let entries = sample_entries();
        for length in 1..entries.len() {
            let state = RunState::from_entries(&entries[..length]).unwrap();
            assert_eq!(state.ending(None), None);
            assert_eq!(state.events, length as u64);
        }
        assert_eq!(RunState::from_entries(&[]), None);
    }
}
