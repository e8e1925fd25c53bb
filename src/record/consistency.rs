//! What is wrong with a record, judged by what it says itself, and what would repair it. Pure: the database's clock has
//! judged already how long nothing was heard of it. Called by `check`.

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::{Reason, Status};

/// A time that is whole seconds, rounded one way or the other, is no mistake.
const ROUNDING_MICROS: i64 = 1_000_000;

/// What may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    Stuck,
    MissingEnd,
    MissingDuration,
    DurationMismatch,
    EndBeforeStart,
    UnknownStatus,
    /// A journal waits for its delivery.
    Undelivered,
}

impl FindingKind {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::MissingEnd => "missing-end",
            Self::MissingDuration => "missing-duration",
            Self::DurationMismatch => "duration-mismatch",
            Self::EndBeforeStart => "end-before-start",
            Self::UnknownStatus => "unknown-status",
            Self::Undelivered => "undelivered",
        }
    }
}

/// What a column of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<T> {
    /// The table has no such column.
    Absent,
    Null,
    /// Something that is no time, or no number of seconds.
    Unreadable,
    Is(T),
}

/// A record as it is examined.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// `None` where it is NULL.
    pub status: Option<String>,
    pub started_at: Cell<DateTime<Utc>>,
    pub ended_at: Cell<DateTime<Utc>>,
    pub duration_seconds: Cell<f64>,
    pub watch: Watched,
    pub presumed: bool,
    /// Since the last sign of life that the row itself has; `None` where it has none.
    pub silent_seconds: Option<f64>,
}

/// Who watches a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Nobody ever did.
    Never,
    /// A run that has not ended.
    Living { overdue: bool },
    /// Its run has ended, or it was given up.
    Ended { reason: Reason },
}

/// Something that is wrong, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: FindingKind,
    pub detail: String,
    /// What would repair it.
    pub repair: Repair,
}

/// What repairs a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It follows from the row itself: `check --fix`.
    Derived,
    /// A command, or what a person must do.
    Do(String),
}

/// Everything that is wrong with the record `id`. `stuck_after_seconds` is how long nothing may be heard of a record that
/// nobody watches; `stuck_after` is that as typed.
#[must_use]
pub fn findings(id: &str, record: &Examined, stuck_after_seconds: f64, stuck_after: &str) -> Vec<Finding> {
    let word = record.status.as_deref().map_or("NULL", str::trim_end);
    match Status::parse(word) {
        Some(Status::Training) => record.stuck(id, stuck_after_seconds, stuck_after).into_iter().collect(),
        Some(status @ (Status::Completed | Status::Failed)) => record.times(id, status),
        None => vec![Finding {
            kind: FindingKind::UnknownStatus,
            detail: format!("its status is {word}, which is none of training, completed and failed"),
            repair: Repair::Do(format!("runwrap finalize {id} --status completed|failed --force")),
        }],
    }
}

/// Longer than anything runs: a duration of more is none.
const SECONDS_MAX: f64 = 1e12;

/// A year with more digits is not written the same everywhere.
const YEAR_MAX: i32 = 9999;

/// The end that follows from a start and a duration; `None` where that is no time that everybody can read.
#[must_use]
pub fn derived_end(started_at: DateTime<Utc>, duration_seconds: f64) -> Option<DateTime<Utc>> {
    let seconds = Some(duration_seconds).filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))?;
    #[expect(clippy::cast_possible_truncation, reason = "it is within the limits")]
    let elapsed = TimeDelta::microseconds((seconds * 1e6).round() as i64);
    started_at.checked_add_signed(elapsed).filter(|ended_at| ended_at.year() <= YEAR_MAX)
}

/// Whether a duration is more than a rounding second off the time from start to end.
#[must_use]
pub fn is_off(elapsed: TimeDelta, duration_seconds: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float is clamped, and then it is off")]
    let micros = (duration_seconds * 1e6).round() as i64;
    elapsed.num_microseconds().is_none_or(|elapsed| micros.saturating_sub(elapsed).saturating_abs() > ROUNDING_MICROS)
}

impl Examined {
    fn stuck(&self, id: &str, stuck_after_seconds: f64, stuck_after: &str) -> Option<Finding> {
        let silent = self.silent_seconds.is_some_and(|seconds| seconds > stuck_after_seconds);
        let found = |detail: String, repair: String| {
            Some(Finding { kind: FindingKind::Stuck, detail, repair: Repair::Do(repair) })
        };
        match self.watch {
            Watched::Living { overdue: true } => {
                found("its run gave no sign of life within its lease".into(), "runwrap recover".into())
            }
            Watched::Never | Watched::Ended { reason: Reason::Stuck } if silent => found(
                format!("in training without a sign of life for {stuck_after}, and nothing watches it"),
                format!("runwrap recover --stuck-after {stuck_after}"),
            ),
            Watched::Ended { reason } if silent => found(
                format!("in training again, although its run has ended ({})", reason.as_str()),
                format!("runwrap finalize {id} --status completed|failed"),
            ),
            Watched::Never | Watched::Living { overdue: false } | Watched::Ended { .. } => None,
        }
    }

    /// A record that never started has no end and no duration to miss, and of a presumed end all that is known is there.
    fn times(&self, id: &str, status: Status) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut find = |kind, detail: String, repair| found.push(Finding { kind, detail, repair });
        let said = status.as_str();
        let by_hand = || Repair::Do(format!("runwrap finalize {id} --status {said} --ended-at TIME --force"));
        let missing_counts = !self.presumed && self.started_at != Cell::Null;
        match (self.started_at, self.ended_at, self.duration_seconds) {
            (Cell::Is(started_at), Cell::Null, Cell::Is(seconds))
                if missing_counts && derived_end(started_at, seconds).is_some() =>
            {
                find(FindingKind::MissingEnd, format!("{said} without an end time"), Repair::Derived);
            }
            (_, Cell::Null, _) if missing_counts => {
                find(FindingKind::MissingEnd, format!("{said} without an end time"), by_hand());
            }
            _ => {}
        }
        match (self.started_at, self.ended_at, self.duration_seconds) {
            (Cell::Is(started_at), Cell::Is(ended_at), _) if ended_at < started_at => {
                find(
                    FindingKind::EndBeforeStart,
                    format!("ended at {ended_at}, before its start at {started_at}"),
                    by_hand(),
                );
            }
            (Cell::Is(started_at), Cell::Is(ended_at), Cell::Is(seconds)) if is_off(ended_at - started_at, seconds) => {
                let elapsed = (ended_at - started_at).num_seconds();
                let detail = format!("its duration is {seconds} s, and from start to end it is {elapsed} s");
                find(FindingKind::DurationMismatch, detail, Repair::Derived);
            }
            (Cell::Is(_), Cell::Is(_), Cell::Null) => {
                find(FindingKind::MissingDuration, format!("{said} without a duration"), Repair::Derived);
            }
            (_, _, Cell::Null) if missing_counts => {
                find(FindingKind::MissingDuration, format!("{said} without a duration"), by_hand());
            }
            _ => {}
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Cell<DateTime<Utc>> {
        Cell::Is(DateTime::UNIX_EPOCH + TimeDelta::microseconds(micros))
    }

    /// Well ended, after 100.9 s.
    fn sound() -> Examined {
        Examined {
            status: Some("completed".into()),
            started_at: at(0),
            ended_at: at(100_900_000),
            duration_seconds: Cell::Is(100.0),
            watch: Watched::Never,
            presumed: false,
            silent_seconds: Some(1e9),
        }
    }

    #[track_caller]
    fn check(record: &Examined, expected: &[(FindingKind, bool)]) {
        let found = findings("30", record, 86_400.0, "24h");
        let found: Vec<_> = found.iter().map(|finding| (finding.kind, finding.repair == Repair::Derived)).collect();
        assert_eq!(found, expected, "{record:?}");
    }

    #[test]
    fn what_is_well_is_not_found() {
        check(&sound(), &[]);
        check(&Examined { status: Some("failed   ".into()), ..sound() }, &[]);
        for seconds in [100.0, 100.5, 101.0, 101.9] {
            check(&Examined { duration_seconds: Cell::Is(seconds), ..sound() }, &[]);
        }
        let none = Examined { started_at: Cell::Null, ended_at: Cell::Null, duration_seconds: Cell::Null, ..sound() };
        check(&none, &[]);
        check(&Examined { started_at: Cell::Null, duration_seconds: Cell::Null, ..sound() }, &[]);
        check(&Examined { duration_seconds: Cell::Absent, ..sound() }, &[]);
        check(&Examined { duration_seconds: Cell::Unreadable, ..sound() }, &[]);
        check(&Examined { presumed: true, started_at: at(0), ..none }, &[]);
    }

    #[test]
    fn times_that_are_missing_or_wrong_are_found() {
        let no_end = Examined { ended_at: Cell::Null, ..sound() };
        check(&no_end, &[(FindingKind::MissingEnd, true)]);
        let neither = Examined { duration_seconds: Cell::Null, ..no_end };
        check(&neither, &[(FindingKind::MissingEnd, false), (FindingKind::MissingDuration, false)]);
        check(&Examined { duration_seconds: Cell::Null, ..sound() }, &[(FindingKind::MissingDuration, true)]);
        for seconds in [99.8, 102.0, 0.0, -100.0, 1e300] {
            check(
                &Examined { duration_seconds: Cell::Is(seconds), ..sound() },
                &[(FindingKind::DurationMismatch, true)],
            );
        }
        check(&Examined { ended_at: at(-1), ..sound() }, &[(FindingKind::EndBeforeStart, false)]);
    }

    #[test]
    fn silence_is_judged_by_who_watches() {
        let training = Examined { status: Some("training".into()), ended_at: Cell::Null, ..sound() };
        check(&training, &[(FindingKind::Stuck, false)]);
        check(&Examined { silent_seconds: Some(86_400.0), ..training.clone() }, &[]);
        check(&Examined { silent_seconds: None, ..training.clone() }, &[]);
        check(&Examined { watch: Watched::Living { overdue: false }, ..training.clone() }, &[]);
        let overdue = Watched::Living { overdue: true };
        check(
            &Examined { watch: overdue, silent_seconds: Some(1.0), ..training.clone() },
            &[(FindingKind::Stuck, false)],
        );
        for reason in [Reason::Stuck, Reason::Success] {
            check(&Examined { watch: Watched::Ended { reason }, ..training.clone() }, &[(FindingKind::Stuck, false)]);
        }
    }

    #[test]
    fn a_word_of_somebody_else_s_is_found() {
        for status in [None, Some("running".to_owned()), Some("Completed".to_owned()), Some(String::new())] {
            check(&Examined { status, ..sound() }, &[(FindingKind::UnknownStatus, false)]);
        }
    }
}
