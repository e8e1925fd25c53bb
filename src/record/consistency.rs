//! Findings about a record, from its own columns, and their repairs. Pure: the caller computes ages by the database's
//! clock.

use std::fmt;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::Serialize;

use super::{Reason, Status};

/// Durations rounded to whole seconds in either direction are correct.
const ROUNDING_MICROS: i64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    Stuck,
    MissingEnd,
    MissingDuration,
    DurationMismatch,
    EndBeforeStart,
    UnknownStatus,
    /// A journal has not been delivered.
    Undelivered,
    /// The table cannot take the record of a run.
    Table,
}

impl fmt::Display for FindingKind {
    /// The name in the output of `check`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(out)
    }
}

/// The value of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<T> {
    /// The table has no such column.
    Absent,
    Null,
    /// Not a time, or not a number of seconds.
    Unreadable,
    Is(T),
}

/// The columns of a record that are checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// `None` for NULL.
    pub status: Option<String>,
    pub started_at: Cell<DateTime<Utc>>,
    pub ended_at: Cell<DateTime<Utc>>,
    pub duration_seconds: Cell<f64>,
    pub watch: Watched,
    pub presumed: bool,
    /// Seconds since the last sign of life in the row itself; `None` if it has none.
    pub silent_seconds: Option<f64>,
}

/// The run that watches a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// No run ever did.
    Never,
    /// A run that has not ended.
    Living { overdue: bool },
    /// The run has ended, or the record was given up.
    Ended { reason: Reason },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: FindingKind,
    pub detail: String,
    pub repair: Repair,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Follows from the row itself: `check --fix`.
    Derived,
    /// A command, or an action for a person.
    Do(String),
}

/// All findings about the record `id`. An unwatched record is stuck after `stuck_after_seconds` without a sign of life;
/// `stuck_after` is that option as typed.
pub(crate) fn findings(id: &str, record: &Examined, stuck_after_seconds: f64, stuck_after: &str) -> Vec<Finding> {
    // The repairs are commands that can be pasted into a shell.
    let (id, option) = (&shell_word(id), &shell_word(stuck_after));
    let value = record.status.as_deref().map_or("NULL", str::trim_end);
    match Status::parse(value) {
        Some(Status::Training) => record.stuck(id, stuck_after_seconds, stuck_after, option).into_iter().collect(),
        Some(status @ (Status::Completed | Status::Failed)) => record.times(id, status),
        None => vec![Finding {
            kind: FindingKind::UnknownStatus,
            detail: format!("its status is {value}, not training, completed or failed{IF_COMPLETED}"),
            repair: Repair::Do(format!("runwrap finalize {id} --status failed --force")),
        }],
    }
}

/// Only a person knows how such a run ended. The repair assumes the usual end.
const IF_COMPLETED: &str = "; if it succeeded, finalize it as completed";

/// `text` as one word of a shell.
fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:+@%,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { text.to_owned() } else { shell_quoted(text) }
}

/// `text` as one word of a shell, always in quotes.
pub(crate) fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Longer durations are invalid.
const SECONDS_MAX: f64 = 1e12;

/// Years with more digits are not portable between databases.
const YEAR_MAX: i32 = 9999;

/// The end computed from a start and a duration; `None` if it is out of range.
pub(super) fn derived_end(started_at: DateTime<Utc>, duration_seconds: f64) -> Option<DateTime<Utc>> {
    let seconds = Some(duration_seconds).filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))?;
    #[expect(clippy::cast_possible_truncation, reason = "bounded by SECONDS_MAX")]
    let elapsed = TimeDelta::microseconds((seconds * 1e6).round() as i64);
    started_at.checked_add_signed(elapsed).filter(|ended_at| ended_at.year() <= YEAR_MAX)
}

/// Whether a duration differs from the time between start and end by more than a rounding second.
pub(super) fn is_off(elapsed: TimeDelta, duration_seconds: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and a saturated value is off")]
    let micros = (duration_seconds * 1e6).round() as i64;
    elapsed.num_microseconds().is_none_or(|elapsed| micros.saturating_sub(elapsed).saturating_abs() > ROUNDING_MICROS)
}

impl Examined {
    fn stuck(&self, id: &str, stuck_after_seconds: f64, stuck_after: &str, option: &str) -> Option<Finding> {
        let silent = self.silent_seconds.is_some_and(|seconds| seconds > stuck_after_seconds);
        let (detail, repair) = match self.watch {
            Watched::Living { overdue: true } => {
                ("its run gave no sign of life within its lease".to_owned(), "runwrap recover".to_owned())
            }
            Watched::Never | Watched::Ended { reason: Reason::Stuck } if silent => (
                format!("in training without a sign of life for {stuck_after}, and nothing watches it"),
                format!("runwrap recover --stuck-after {option}"),
            ),
            Watched::Ended { reason } if silent => (
                format!("in training again, although its run has ended ({reason}){IF_COMPLETED}"),
                format!("runwrap finalize {id} --status failed"),
            ),
            Watched::Never | Watched::Living { overdue: false } | Watched::Ended { .. } => return None,
        };
        Some(Finding { kind: FindingKind::Stuck, detail, repair: Repair::Do(repair) })
    }

    /// A record that never started needs no end and no duration; neither does a presumed end.
    fn times(&self, id: &str, status: Status) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut find = |kind, detail: String, repair| found.push(Finding { kind, detail, repair });
        let status_name = status.as_str();
        let by_hand = || Repair::Do(format!("runwrap finalize {id} --status {status_name} --ended-at TIME --force"));
        let missing_counts = !self.presumed && self.started_at != Cell::Null;
        if missing_counts && self.ended_at == Cell::Null {
            let repair = match (self.started_at, self.duration_seconds) {
                (Cell::Is(start), Cell::Is(seconds)) if derived_end(start, seconds).is_some() => Repair::Derived,
                _ => by_hand(),
            };
            find(FindingKind::MissingEnd, format!("{status_name} without an end time"), repair);
        }
        let missing = format!("{status_name} without a duration");
        match (self.started_at, self.ended_at, self.duration_seconds) {
            (Cell::Is(started_at), Cell::Is(ended_at), _) if ended_at < started_at => {
                let detail = format!("ended at {ended_at}, before its start at {started_at}");
                find(FindingKind::EndBeforeStart, detail, by_hand());
            }
            (Cell::Is(started_at), Cell::Is(ended_at), Cell::Is(seconds)) if is_off(ended_at - started_at, seconds) => {
                let elapsed = (ended_at - started_at).num_seconds();
                let detail = format!("its duration is {seconds} s, and from start to end it is {elapsed} s");
                find(FindingKind::DurationMismatch, detail, Repair::Derived);
            }
            (Cell::Is(_), Cell::Is(_), Cell::Null) => find(FindingKind::MissingDuration, missing, Repair::Derived),
            (_, _, Cell::Null) if missing_counts => find(FindingKind::MissingDuration, missing, by_hand()),
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

    /// Ended correctly after 100.9 s.
    fn correct() -> Examined {
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
    fn correct_records_have_no_findings() {
        check(&correct(), &[]);
        check(&Examined { status: Some("failed   ".into()), ..correct() }, &[]);
        for seconds in [100.0, 100.5, 101.0, 101.9] {
            check(&Examined { duration_seconds: Cell::Is(seconds), ..correct() }, &[]);
        }
        let none = Examined { started_at: Cell::Null, ended_at: Cell::Null, duration_seconds: Cell::Null, ..correct() };
        check(&none, &[]);
        check(&Examined { started_at: Cell::Null, duration_seconds: Cell::Null, ..correct() }, &[]);
        check(&Examined { duration_seconds: Cell::Absent, ..correct() }, &[]);
        check(&Examined { duration_seconds: Cell::Unreadable, ..correct() }, &[]);
        check(&Examined { presumed: true, started_at: at(0), ..none }, &[]);
    }

    #[test]
    fn missing_and_wrong_times_are_found() {
        let no_end = Examined { ended_at: Cell::Null, ..correct() };
        check(&no_end, &[(FindingKind::MissingEnd, true)]);
        let neither = Examined { duration_seconds: Cell::Null, ..no_end };
        check(&neither, &[(FindingKind::MissingEnd, false), (FindingKind::MissingDuration, false)]);
        check(&Examined { duration_seconds: Cell::Null, ..correct() }, &[(FindingKind::MissingDuration, true)]);
        for seconds in [99.8, 102.0, 0.0, -100.0, 1e300] {
            check(
                &Examined { duration_seconds: Cell::Is(seconds), ..correct() },
                &[(FindingKind::DurationMismatch, true)],
            );
        }
        check(&Examined { ended_at: at(-1), ..correct() }, &[(FindingKind::EndBeforeStart, false)]);
    }

    #[test]
    fn silent_record_is_judged_by_its_run() {
        let training = Examined { status: Some("training".into()), ended_at: Cell::Null, ..correct() };
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

    /// `--status completed|failed` started a program called failed, and an id with a blank was two words.
    #[test]
    fn repair_is_one_command_of_a_shell() {
        let repair = |id: &str, record: &Examined, stuck_after: &str| match &findings(id, record, 1.0, stuck_after)[..]
        {
            [Finding { repair: Repair::Do(command), .. }] => command.clone(),
            found => panic!("{found:?}"),
        };
        let foreign = Examined { status: Some("done".into()), ..correct() };
        assert_eq!(repair("30", &foreign, "24h"), "runwrap finalize 30 --status failed --force");
        assert_eq!(repair("it's a", &foreign, "24h"), r"runwrap finalize 'it'\''s a' --status failed --force");
        let training = Examined { status: Some("training".into()), ended_at: Cell::Null, ..correct() };
        assert_eq!(repair("30", &training, "1h 30m"), "runwrap recover --stuck-after '1h 30m'");
        let again = Examined { watch: Watched::Ended { reason: Reason::Success }, ..training };
        assert_eq!(repair("$(x)", &again, "24h"), "runwrap finalize '$(x)' --status failed");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn foreign_status_is_found() {
        for status in [None, Some("running".to_owned()), Some("Completed".to_owned()), Some(String::new())] {
            check(&Examined { status, ..correct() }, &[(FindingKind::UnknownStatus, false)]);
        }
    }
}
