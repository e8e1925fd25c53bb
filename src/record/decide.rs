//! Decisions about a record from outside: an operator closes it, `recover` gives it up, `check --fix` completes it. The only
//! statement of these rules; a run's own events are in `merge`. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::consistency::{derived_end, is_off};
use super::merge::elapsed;
use super::{Applied, DatabaseClock, Reason, Row, Status};

/// An end may lie this far ahead of the database's clock: clocks of two machines differ.
const AHEAD_SECONDS_MAX: i64 = 60;

/// A decision about one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// An operator ends it.
    Close(Verdict),
    /// It has been in training for too long, and no run watches it.
    GiveUp(Doubt),
    /// Completes an end or a duration from the other columns.
    Derive,
}

/// An operator's statement of how a record ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Not [`Status::Training`].
    pub status: Status,
    /// Without it a known end stays; else the last sign of life becomes the end; else it stays unknown.
    pub ended_at: Option<DateTime<Utc>>,
    /// For `error_message`.
    pub explanation: Option<String>,
    pub metrics: Option<Map<String, Value>>,
    pub model_path: Option<String>,
    /// Overwrites an end that is truth.
    pub force: bool,
    /// The operator, for the `recovered_by` column.
    pub by: String,
    /// The operator's clock, for the audit. Decides nothing.
    pub at: DateTime<Utc>,
    /// `error_message` of a failure without an explanation.
    pub message: String,
}

/// Why a record without a run is given up.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubt {
    /// Minimum time without a sign of life, by the database's clock.
    pub silent_seconds: u32,
    /// Last write of the model's file, if this host has it.
    pub model_written_at: Option<DateTime<Utc>>,
    /// Without a proven end, the moment of the decision becomes the end.
    pub assume_now: bool,
    /// The recovering user and host, for the `recovered_by` column.
    pub by: String,
    /// Who recovered it, when and why, for `error_message`.
    pub message: String,
}

/// Returns the row after `decision`, and the result. `None` is a record that does not exist.
pub fn decide(row: Option<Row>, decision: &Decision, clock: DatabaseClock) -> (Option<Row>, Applied) {
    let Some(row) = row else { return (None, Applied::Missing) };
    let decided = match decision {
        Decision::Close(verdict) => row.may_be_closed(verdict, clock).then(|| row.clone().closed(verdict, clock)),
        Decision::GiveUp(doubt) => {
            may_be_stuck(&row, doubt.silent_seconds, clock).then(|| row.clone().given_up(doubt, clock))
        }
        Decision::Derive => row.derived(),
    };
    let applied = if decided.is_some() { Applied::Written } else { Applied::Kept };
    (decided.or(Some(row)), applied)
}

/// Whether a record is in training, unwatched, and silent for more than `silent_seconds`. A row that was given up and that the
/// application opened again may be given up again.
pub(crate) fn may_be_stuck(row: &Row, silent_seconds: u32, clock: DatabaseClock) -> bool {
    let silent = TimeDelta::seconds(i64::from(silent_seconds));
    row.is_training()
        && row.watch.is_none()
        && matches!(row.reason, None | Some(Reason::Stuck))
        && row.born_at().max(row.updated_at).is_some_and(|seen_at| clock.now > seen_at + silent)
}

impl Row {
    fn may_be_closed(&self, verdict: &Verdict, clock: DatabaseClock) -> bool {
        let sensible = verdict.ended_at.is_none_or(|ended_at| {
            ended_at <= clock.now + TimeDelta::seconds(AHEAD_SECONDS_MAX)
                && self.train_start_time.is_none_or(|started_at| ended_at >= started_at)
        });
        sensible && (verdict.force || self.is_open())
    }

    fn closed(mut self, verdict: &Verdict, clock: DatabaseClock) -> Self {
        let last_seen_at = self.watch.map(|watch| watch.last_seen_at).filter(|_| self.train_end_time.is_none());
        self.end(verdict.ended_at.or(last_seen_at));
        let known = self.error_message.filter(|_| !self.presumed).unwrap_or_else(|| verdict.message.clone());
        let of_failure = (verdict.status != Status::Completed).then_some(known);
        self.error_message = verdict.explanation.clone().or(of_failure);
        if let Some(metrics) = &verdict.metrics {
            self.train_metrics.get_or_insert_default().extend(metrics.clone());
        }
        self.model_path = verdict.model_path.clone().or(self.model_path);
        self.status = Some(verdict.status);
        self.reason = Some(Reason::Manual);
        self.presumed = false;
        self.recovered_at = Some(clock.now);
        self.recovered_by = Some(verdict.by.clone());
        self
    }

    fn given_up(mut self, doubt: &Doubt, clock: DatabaseClock) -> Self {
        let signs =
            [self.updated_at, doubt.model_written_at].map(|sign| sign.filter(|at| self.proves_life(*at, clock)));
        let (ended_at, end) = match self.train_end_time.or(signs[0].max(signs[1])) {
            Some(ended_at) => (Some(ended_at), "its end is its last sign of life, how it ended is unknown"),
            None if doubt.assume_now => {
                (Some(clock.now), "when and how it ended is unknown, its end is the time of the recovery")
            }
            None => (None, "when and how it ended is unknown"),
        };
        self.end(ended_at);
        self.presumed_failed(Reason::Stuck, &format!("{}; {end}", doubt.message), clock, &doubt.by)
    }

    /// A missing end follows from start and duration; a duration that is missing or more than a second off, from start and end.
    fn derived(&self) -> Option<Self> {
        let has_ended = matches!(self.status, Some(Status::Completed | Status::Failed)) && self.is_legible;
        let started_at = self.train_start_time.filter(|_| has_ended)?;
        let (ended_at, seconds) = match (self.train_end_time, self.train_duration) {
            (None, Some(seconds)) => (derived_end(started_at, seconds)?, seconds),
            (Some(ended_at), known)
                if ended_at >= started_at && known.is_none_or(|seconds| is_off(ended_at - started_at, seconds)) =>
            {
                (ended_at, elapsed(started_at, ended_at))
            }
            (None, None) | (Some(_), _) => return None,
        };
        Some(Self { train_end_time: Some(ended_at), train_duration: Some(seconds), ..self.clone() })
    }

    /// The row's own evidence of its beginning.
    fn born_at(&self) -> Option<DateTime<Utc>> {
        self.train_start_time.max(self.created_at)
    }

    /// A sign as old as the row proves no life after its beginning, and one in the future proves nothing.
    fn proves_life(&self, at: DateTime<Utc>, clock: DatabaseClock) -> bool {
        at <= clock.now && self.born_at().is_none_or(|born_at| at >= born_at + TimeDelta::seconds(1))
    }

    /// Sets a known end, and the duration that follows from it.
    fn end(&mut self, ended_at: Option<DateTime<Utc>>) {
        let Some(ended_at) = ended_at else { return };
        self.train_end_time = Some(ended_at);
        if let Some(started_at) = self.train_start_time {
            self.train_duration = Some(elapsed(started_at, ended_at));
        }
    }
}
