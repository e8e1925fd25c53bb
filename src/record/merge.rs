//! What a run reports of itself, and how that changes its record: the only statement of these rules. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Ending, Progress, Reason, Row, Run, Status, Watch, elapsed_seconds};

/// An event of a run that its record must show.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The run begins.
    Begin(Run),
    /// A heartbeat, with everything reported so far.
    Heartbeat(Progress),
    /// The end, from the run's own journal.
    Finalize(Progress, Ending),
    /// Another process concludes that the run is lost.
    Presume(Presumption),
}

/// Why a run is presumed lost, and by whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Presumption {
    pub proof: Proof,
    /// A sign of life by the run's clock; counts if it is later than the database's.
    pub seen_at: Option<DateTime<Utc>>,
    /// The recovering user and host, for the `recovered_by` column.
    pub recovered_by: String,
    /// Who recovered it, when and why, for `error_message`.
    pub message: String,
}

/// The evidence of a presumption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The lease has expired, by the database's clock.
    Lease,
    /// The run's journal is at hand and its lock is free.
    DeadJournal,
}

/// The database's clock, read in the transaction whose decision depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseClock {
    pub now: DateTime<Utc>,
    /// Start of the database: it accepted no heartbeat before.
    pub up_since: DateTime<Utc>,
    /// A number that changes when a standby is promoted. `None`: the database has no standbys.
    pub timeline: Option<i64>,
}

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The database has it.
    Written,
    /// A part of a heartbeat: the database refuses or drops the rest, or the application holds its row.
    InPart,
    /// The rules keep the record's values.
    Kept,
    /// A presumption gave the run a full lease instead: a standby was promoted since the run's last heartbeat.
    Renewed,
    /// The run or its row in the user's table is missing: begin it (again), then repeat the change.
    Missing,
}

/// Returns the row after `change`, and the result. `None` is a run that the database does not know.
pub fn merge(row: Option<Row>, change: &Change, clock: DatabaseClock) -> (Option<Row>, Applied) {
    let Some(row) = row else {
        return match change {
            Change::Begin(run) => (Some(first_row(run, clock)), Applied::Written),
            Change::Heartbeat(_) | Change::Finalize(..) | Change::Presume(_) => (None, Applied::Missing),
        };
    };
    let (row, applied) = match (row.watch, change) {
        (_, Change::Begin(_)) => (row, Applied::Kept),
        (None, Change::Heartbeat(_) | Change::Finalize(..) | Change::Presume(_)) => (row, Applied::Missing),
        (Some(_), Change::Heartbeat(_) | Change::Finalize(..)) if row.is_truth() => (row, Applied::Kept),
        (Some(watch), Change::Heartbeat(progress)) => (row.alive(watch, progress, clock), Applied::Written),
        (Some(watch), Change::Finalize(progress, ending)) => (row.ended(watch, progress, ending), Applied::Written),
        (Some(watch), Change::Presume(presumption)) if row.may_be_presumed(watch, presumption.proof, clock) => {
            (row.presumed_lost(watch, presumption, clock), Applied::Written)
        }
        (Some(watch), Change::Presume(_)) if row.may_be_renewed(watch, clock) => {
            let renewed = Watch { heartbeat_at: clock.now, timeline: clock.timeline, ..watch };
            (Row { watch: Some(renewed), ..row }, Applied::Renewed)
        }
        (Some(_), Change::Presume(_)) => (row, Applied::Kept),
    };
    (Some(row), applied)
}

/// Whether the lease of a run has expired. A database that started less than a lease ago, or a standby that was promoted since the
/// run's last heartbeat, could not receive heartbeats before.
pub(crate) fn is_overdue(watch: Watch, clock: DatabaseClock) -> bool {
    has_lapsed(watch, clock) && !is_promoted_since(watch, clock)
}

fn has_lapsed(watch: Watch, clock: DatabaseClock) -> bool {
    let lease = TimeDelta::seconds(i64::from(watch.lease_seconds));
    clock.now > watch.heartbeat_at + lease && clock.now >= clock.up_since + lease
}

fn is_promoted_since(watch: Watch, clock: DatabaseClock) -> bool {
    watch.timeline.zip(clock.timeline).is_some_and(|(last, present)| last != present)
}

fn first_row(run: &Run, clock: DatabaseClock) -> Row {
    Row {
        status: Some(Status::Training),
        train_start_time: Some(run.begun_at),
        model_path: run.model_path.clone(),
        is_legible: true,
        watch: Some(Watch {
            heartbeat_at: clock.now,
            last_seen_at: run.begun_at,
            lease_seconds: run.lease_seconds,
            timeline: clock.timeline,
        }),
        ..Row::default()
    }
}

impl Row {
    fn may_be_presumed(&self, watch: Watch, proof: Proof, clock: DatabaseClock) -> bool {
        (proof == Proof::DeadJournal || is_overdue(watch, clock)) && self.is_training() && self.reason.is_none()
    }

    /// The database's timeline is not the run's: nothing proves how long the run had a database to write to.
    fn may_be_renewed(&self, watch: Watch, clock: DatabaseClock) -> bool {
        let lapsed = has_lapsed(watch, clock) && is_promoted_since(watch, clock);
        lapsed && self.is_training() && self.reason.is_none()
    }

    fn alive(mut self, watch: Watch, progress: &Progress, clock: DatabaseClock) -> Self {
        if self.is_open() {
            if self.presumed {
                self.status = Some(Status::Training);
                self.train_end_time = None;
                self.train_duration = None;
                self.error_message = None;
            }
            self.error_message = progress.report.error.clone().or(self.error_message);
            self.take_report(progress);
        }
        self.reason = None;
        self.take_progress(Watch { heartbeat_at: clock.now, timeline: clock.timeline, ..watch }, progress);
        self
    }

    fn ended(mut self, watch: Watch, progress: &Progress, ending: &Ending) -> Self {
        if self.is_open() {
            self.status = Some(ending.status);
            self.train_end_time = Some(ending.ended_at);
            self.train_duration = Some(whole_seconds(ending.duration_seconds));
            let known = if self.presumed { None } else { self.error_message.take() };
            self.error_message = ending.error_message.clone().or(known);
            self.take_report(progress);
        }
        self.reason = Some(ending.reason);
        self.exit_code = ending.exit_code;
        self.signal.clone_from(&ending.signal);
        self.usage = ending.usage;
        self.take_progress(watch, progress);
        self
    }

    /// Merges the report into the user's row.
    fn take_report(&mut self, progress: &Progress) {
        let report = &progress.report;
        // Written once: a column of dates keeps less of it, and would differ at each heartbeat.
        if self.pid.is_none() || self.train_start_time.is_none() {
            self.train_start_time = progress.started_at.or(self.train_start_time);
        }
        if let Some(metrics) = &report.metrics {
            self.train_metrics.get_or_insert_default().extend(metrics.clone());
        }
        self.model_path = report.model_path.clone().or(self.model_path.take());
    }

    /// Merges process facts into the run's row, and revokes a presumption.
    fn take_progress(&mut self, watch: Watch, progress: &Progress) {
        self.pid = progress.pid.or(self.pid);
        self.stop_signal = progress.stop_signal.clone().or(self.stop_signal.take());
        self.model_bytes = progress.model_bytes.or(self.model_bytes);
        self.watch = Some(watch.seen(progress.seen_at));
        self.presumed = false;
        (self.recovered_at, self.recovered_by) = (None, None);
    }

    fn presumed_lost(mut self, watch: Watch, presumption: &Presumption, clock: DatabaseClock) -> Self {
        let watch = watch.seen(presumption.seen_at);
        let ended_at = watch.last_seen_at;
        self.train_end_time = Some(ended_at);
        self.train_duration = self.train_start_time.map(|started_at| elapsed(started_at, ended_at));
        self.watch = Some(watch);
        self.presumed_failed(Reason::Lost, &presumption.message, clock, &presumption.recovered_by)
    }

    /// Fails by presumption. `message` is appended to the known `error_message`.
    pub(super) fn presumed_failed(mut self, reason: Reason, message: &str, clock: DatabaseClock, by: &str) -> Self {
        self.status = Some(Status::Failed);
        self.error_message = Some(match self.error_message {
            None => message.to_owned(),
            Some(known) => format!("{known}; {message}"),
        });
        self.reason = Some(reason);
        self.presumed = true;
        self.recovered_at = Some(clock.now);
        self.recovered_by = Some(by.to_owned());
        self
    }
}

/// Whole seconds from start to end, truncated, never negative.
pub(super) fn elapsed(started_at: DateTime<Utc>, ended_at: DateTime<Utc>) -> f64 {
    whole_seconds(elapsed_seconds(ended_at - started_at))
}

#[expect(clippy::cast_precision_loss, reason = "a float is exact for 285 million years of seconds")]
pub(super) const fn whole_seconds(seconds: i64) -> f64 {
    seconds as f64
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::record::Report;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn clock(now: i64) -> DatabaseClock {
        DatabaseClock { now: at(now), up_since: DateTime::UNIX_EPOCH, timeline: None }
    }

    /// Begins at 1000 with a lease of 300 s.
    fn begin() -> Change {
        Change::Begin(Run::sample("cifar", at(1000)))
    }

    fn heartbeat(seen: i64, metrics: &Value) -> Change {
        let report = Report { metrics: metrics.as_object().cloned(), ..Report::default() };
        Change::Heartbeat(Progress {
            started_at: Some(at(1001)),
            seen_at: Some(at(seen)),
            report,
            ..Progress::default()
        })
    }

    fn finalize(status: Status) -> Change {
        let reason = if status == Status::Completed { Reason::Success } else { Reason::Exit };
        let ending = Ending {
            status,
            reason,
            ended_at: at(1101),
            duration_seconds: 100,
            exit_code: None,
            signal: None,
            error_message: None,
            usage: None,
        };
        Change::Finalize(Progress::default(), ending)
    }

    fn presume(proof: Proof) -> Change {
        Change::Presume(Presumption { proof, seen_at: None, recovered_by: "ann".into(), message: "lost".into() })
    }

    /// What becomes of a new row, each change at its own moment by the database's clock.
    #[track_caller]
    fn story(changes: &[(i64, Change, Applied)]) -> Row {
        let (mut row, applied) = merge(None, &begin(), clock(1000));
        assert_eq!(applied, Applied::Written);
        for (now, change, expected) in changes {
            let (next, applied) = merge(row, change, clock(*now));
            assert_eq!(applied, *expected, "{change:?}");
            row = next;
        }
        row.unwrap()
    }

    #[test]
    fn begin_is_idempotent() {
        let row = story(&[(1010, begin(), Applied::Kept)]);
        let heartbeat_at = row.watch.unwrap().heartbeat_at;
        assert_eq!(
            (row.status, heartbeat_at, row.train_start_time),
            (Some(Status::Training), at(1000), Some(at(1000)))
        );
    }

    #[test]
    fn unknown_run_is_missing() {
        for change in [heartbeat(0, &json!({})), finalize(Status::Failed), presume(Proof::DeadJournal)] {
            assert_eq!(merge(None, &change, clock(0)), (None, Applied::Missing));
        }
    }

    #[test]
    fn truth_is_never_overwritten() {
        let row = story(&[
            (1100, finalize(Status::Completed), Applied::Written),
            (1101, finalize(Status::Failed), Applied::Kept),
            (1102, heartbeat(1102, &json!({"a": 1})), Applied::Kept),
            (9999, presume(Proof::DeadJournal), Applied::Kept),
            (9999, presume(Proof::Lease), Applied::Kept),
        ]);
        assert_eq!((row.status, row.reason, row.train_metrics), (Some(Status::Completed), Some(Reason::Success), None));
    }

    #[test]
    fn presumption_waits_for_the_lease_and_ends_at_last_seen() {
        let row = story(&[
            (1060, heartbeat(1061, &json!({"a": 1})), Applied::Written),
            (1360, presume(Proof::Lease), Applied::Kept),
            (1361, presume(Proof::Lease), Applied::Written),
            (1362, presume(Proof::Lease), Applied::Kept),
        ]);
        assert_eq!((row.status, row.reason, row.presumed), (Some(Status::Failed), Some(Reason::Lost), true));
        assert_eq!((row.train_end_time, row.train_duration), (Some(at(1061)), Some(60.0)));
        assert_eq!((row.recovered_at, row.train_metrics), (Some(at(1361)), json!({"a": 1}).as_object().cloned()));
    }

    #[test]
    fn restarted_database_presumes_nothing_for_a_lease() {
        let (row, _) = merge(None, &begin(), clock(1000));
        let just_up = DatabaseClock { up_since: at(4701), ..clock(5000) };
        assert_eq!(merge(row.clone(), &presume(Proof::Lease), just_up).1, Applied::Kept);
        assert_eq!(merge(row.clone(), &presume(Proof::DeadJournal), just_up).1, Applied::Written);
        let long_up = DatabaseClock { up_since: at(4700), ..just_up };
        assert_eq!(merge(row, &presume(Proof::Lease), long_up).1, Applied::Written);
    }

    /// A standby that had been up for long was promoted: all living runs were presumed lost at once.
    #[test]
    fn promoted_standby_presumes_nothing_for_a_lease() {
        let on = |timeline, now| DatabaseClock { timeline: Some(timeline), ..clock(now) };
        let begun = merge(None, &begin(), on(1, 1000)).0;
        let (renewed, applied) = merge(begun.clone(), &presume(Proof::Lease), on(2, 5000));
        assert_eq!(applied, Applied::Renewed);
        assert_eq!(renewed.as_ref().map(|row| (row.status, row.reason)), Some((Some(Status::Training), None)));
        assert_eq!(merge(renewed.clone(), &presume(Proof::Lease), on(2, 5300)).1, Applied::Kept);
        assert_eq!(merge(renewed.clone(), &presume(Proof::Lease), on(2, 5301)).1, Applied::Written);
        // Each promotion gives a lease, a heartbeat on the new timeline proves that the run found it.
        assert_eq!(merge(renewed, &presume(Proof::Lease), on(3, 5301)).1, Applied::Renewed);
        let heard = merge(begun.clone(), &heartbeat(4000, &json!({})), on(2, 4000)).0;
        assert_eq!(merge(heard, &presume(Proof::Lease), on(2, 4301)).1, Applied::Written);
        // A dead journal proves more than a lease.
        assert_eq!(merge(begun.clone(), &presume(Proof::DeadJournal), on(2, 5000)).1, Applied::Written);
        // A lease that has not run out needs no renewal, nor does a record that was closed.
        assert_eq!(merge(begun.clone(), &presume(Proof::Lease), on(2, 1300)).1, Applied::Kept);
        let closed = begun.map(|row| Row { status: Some(Status::Completed), ..row });
        assert_eq!(merge(closed, &presume(Proof::Lease), on(2, 5000)).1, Applied::Kept);
    }

    #[test]
    fn heartbeat_revives_a_presumed_run() {
        let row = story(&[
            (1010, presume(Proof::DeadJournal), Applied::Written),
            (1020, heartbeat(1020, &json!({})), Applied::Written),
        ]);
        assert_eq!((row.status, row.reason, row.presumed), (Some(Status::Training), None, false));
        assert_eq!((row.train_end_time, row.error_message, row.recovered_by), (None, None, None));
        assert_eq!(row.watch.unwrap().heartbeat_at, at(1020));
    }

    #[test]
    fn truth_overrides_a_presumption() {
        let row = story(&[
            (1010, presume(Proof::DeadJournal), Applied::Written),
            (1110, finalize(Status::Completed), Applied::Written),
        ]);
        assert_eq!((row.status, row.reason, row.presumed), (Some(Status::Completed), Some(Reason::Success), false));
        assert_eq!((row.train_duration, row.error_message, row.recovered_at), (Some(100.0), None, None));
    }

    #[test]
    fn row_closed_by_the_application_stands() {
        let closed = || Some(Row { status: Some(Status::Completed), ..story(&[]) });
        assert_eq!(merge(closed(), &presume(Proof::DeadJournal), clock(1010)).1, Applied::Kept);
        let (row, applied) = merge(closed(), &finalize(Status::Failed), clock(1010));
        let shown = row.map(|row| (row.status, row.train_end_time, row.reason, applied));
        assert_eq!(shown, Some((Some(Status::Completed), None, Some(Reason::Exit), Applied::Written)));
    }

    #[test]
    fn absent_reports_erase_nothing() {
        let row = story(&[
            (1010, heartbeat(1011, &json!({"a": 1, "b": 1})), Applied::Written),
            (1020, heartbeat(1005, &json!({"b": 2})), Applied::Written),
            (1030, Change::Heartbeat(Progress::default()), Applied::Written),
        ]);
        assert_eq!(row.train_metrics, json!({"a": 1, "b": 2}).as_object().cloned());
        assert_eq!((row.train_start_time, row.watch.unwrap().last_seen_at), (Some(at(1001)), at(1011)));
    }
}
