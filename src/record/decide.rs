//! What may be decided about a record from outside, whoever watches it or nobody: the rules, which the stores say again in
//! SQL and the conformance suite drives against [`decide`]. What a run tells of itself is `merge`'s. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::{Applied, DatabaseClock, Reason, Row, Status, derived_end, elapsed_seconds, is_off, merge_metrics};

/// How far an end may lie ahead of the database's clock: the clocks of two machines differ a little.
pub const AHEAD_SECONDS_MAX: i64 = 60;

/// A decision about one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// An operator says how it ended.
    Close(Verdict),
    /// It has been in training for too long, and nothing watches it.
    GiveUp(Doubt),
    /// What is missing or wrong in it follows from the rest.
    Derive,
}

/// How a record ended, by the word of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Not [`Status::Training`].
    pub status: Status,
    /// Without it a known end stays, else it is the last sign of life, else nobody knows.
    pub ended_at: Option<DateTime<Utc>>,
    /// For `error_message`.
    pub explanation: Option<String>,
    pub metrics: Option<Map<String, Value>>,
    pub model_path: Option<String>,
    /// Also against an end that is truth already.
    pub force: bool,
    /// Who says so, for the `recovered_by` column.
    pub by: String,
    /// When, by the clock of whoever says so. Decides nothing.
    pub at: DateTime<Utc>,
    /// What `error_message` says of a failure that nobody explains.
    pub message: String,
}

/// Why a record that nothing watches is given up.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubt {
    /// How long there must have been no sign of life, by the database's clock.
    pub silent_seconds: u32,
    /// When the model's file was last written, where it is at hand.
    pub model_written_at: Option<DateTime<Utc>>,
    /// Take the moment of the decision for the end where nothing proves another.
    pub assume_now: bool,
    /// Who recovers, for the `recovered_by` column.
    pub by: String,
    /// Who recovered it, when and why, for `error_message`.
    pub message: String,
}

impl Doubt {
    /// What `error_message` gains where the end is a sign of life, where it was assumed, and where nobody knows it.
    #[must_use]
    pub fn messages(&self) -> [String; 3] {
        [
            "the end is its last sign of life, how it ended nobody knows",
            "nobody knows when or how it ended, the end is when it was recovered",
            "nobody knows when or how it ended",
        ]
        .map(|end| format!("{}; {end}", self.message))
    }
}

/// The row after `decision`, and what became of it. `None` is a record that does not exist.
#[must_use]
pub fn decide(row: Option<Row>, decision: &Decision, clock: DatabaseClock) -> (Option<Row>, Applied) {
    let Some(row) = row else { return (None, Applied::Missing) };
    match decision {
        Decision::Close(verdict) if row.may_be_closed(verdict, clock) => {
            (Some(row.closed(verdict, clock)), Applied::Written)
        }
        Decision::GiveUp(doubt) if row.may_be_given_up(doubt, clock) => {
            (Some(row.given_up(doubt, clock)), Applied::Written)
        }
        Decision::Derive => row.derived(),
        Decision::Close(_) | Decision::GiveUp(_) => (Some(row), Applied::Kept),
    }
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
        self.error_message = match (&verdict.explanation, verdict.status) {
            (Some(explanation), _) => Some(explanation.clone()),
            (None, Status::Completed) => None,
            (None, Status::Failed | Status::Training) => {
                self.error_message.filter(|_| !self.presumed).or_else(|| Some(verdict.message.clone()))
            }
        };
        if let Some(metrics) = &verdict.metrics {
            self.train_metrics = Some(merge_metrics(self.train_metrics.as_ref(), metrics));
        }
        self.model_path = verdict.model_path.clone().or(self.model_path);
        self.status = verdict.status;
        self.reason = Some(Reason::Manual);
        self.presumed = false;
        self.recovered_at = Some(clock.now);
        self.recovered_by = Some(verdict.by.clone());
        self
    }

    /// A row that was given up once, and that the application has opened again, may be given up again.
    fn may_be_given_up(&self, doubt: &Doubt, clock: DatabaseClock) -> bool {
        let silent = TimeDelta::seconds(i64::from(doubt.silent_seconds));
        self.status == Status::Training
            && self.watch.is_none()
            && matches!(self.reason, None | Some(Reason::Stuck))
            && self.born_at().max(self.updated_at).is_some_and(|seen_at| clock.now > seen_at + silent)
    }

    fn given_up(mut self, doubt: &Doubt, clock: DatabaseClock) -> Self {
        let [known, assumed, unknown] = doubt.messages();
        let signs =
            [self.updated_at, doubt.model_written_at].map(|sign| sign.filter(|at| self.proves_life(*at, clock)));
        let (ended_at, message) = match self.train_end_time.or(signs[0].max(signs[1])) {
            Some(ended_at) => (Some(ended_at), known),
            None if doubt.assume_now => (Some(clock.now), assumed),
            None => (None, unknown),
        };
        self.end(ended_at);
        self.status = Status::Failed;
        self.error_message = Some(match self.error_message {
            None => message,
            Some(known) => format!("{known}; {message}"),
        });
        self.reason = Some(Reason::Stuck);
        self.presumed = true;
        self.recovered_at = Some(clock.now);
        self.recovered_by = Some(doubt.by.clone());
        self
    }

    /// The end from start and duration, or the duration from start and end, where it is missing or more than a second off.
    fn derived(mut self) -> (Option<Self>, Applied) {
        let Some(started_at) = self.train_start_time.filter(|_| self.status != Status::Training) else {
            return (Some(self), Applied::Kept);
        };
        match (self.train_end_time, self.train_duration) {
            (None, Some(seconds)) => match end_after(started_at, seconds) {
                Some(ended_at) => self.train_end_time = Some(ended_at),
                None => return (Some(self), Applied::Kept),
            },
            (Some(ended_at), known)
                if ended_at >= started_at && known.is_none_or(|seconds| off(ended_at - started_at, seconds)) =>
            {
                self.train_duration = Some(elapsed_seconds(ended_at - started_at));
            }
            (None, None) | (Some(_), _) => return (Some(self), Applied::Kept),
        }
        (Some(self), Applied::Written)
    }

    /// When it began, as far as the row says.
    fn born_at(&self) -> Option<DateTime<Utc>> {
        self.train_start_time.max(self.created_at)
    }

    /// What is as old as the row itself says nothing of how long it lived, and what is to come is no sign.
    fn proves_life(&self, at: DateTime<Utc>, clock: DatabaseClock) -> bool {
        at <= clock.now && self.born_at().is_none_or(|born_at| at >= born_at + TimeDelta::seconds(1))
    }

    /// Writes down an end that is known, and the duration that follows from it.
    fn end(&mut self, ended_at: Option<DateTime<Utc>>) {
        let Some(ended_at) = ended_at else { return };
        self.train_end_time = Some(ended_at);
        if let Some(started_at) = self.train_start_time {
            self.train_duration = Some(elapsed_seconds(ended_at - started_at));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run lasts for so many seconds that a float loses one")]
fn end_after(started_at: DateTime<Utc>, duration_seconds: i64) -> Option<DateTime<Utc>> {
    derived_end(started_at, duration_seconds as f64)
}

#[expect(clippy::cast_precision_loss, reason = "no run lasts for so many seconds that a float loses one")]
fn off(elapsed: TimeDelta, duration_seconds: i64) -> bool {
    is_off(elapsed, duration_seconds as f64)
}
