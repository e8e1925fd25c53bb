//! The database of the model: one row and a clock. A statement changes the row by the crate's own
//! [`record::merge`](runwrap::record::merge), with small values; in a broken model, as a plausible mistake in the SQL would.
//! Must not depend on the sender of a statement.

use std::hash::{Hash, Hasher};

use chrono::{DateTime, TimeDelta, Utc};
use runwrap::record::{
    Applied, Change, Circumstances, DatabaseClock, Ending, Presumption, Progress, Proof, Reason, Row, Run, RunId,
    Status, TrainerExit, Watch, ending_of, merge,
};
use serde_json::Map;
use uuid::Uuid;

/// How the statements change the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statements {
    /// By `record::merge`: conditional on the state, in the same transaction.
    AsMerged,
    /// `UPDATE … WHERE run_id = …`: no condition on the state.
    ByIdAlone,
    /// `recover` lists the overdue runs, then updates them without checking again.
    ReadThenWrite,
    /// `UPDATE … WHERE status = 'training'`, also for the end from the run's own journal.
    GuardedByTraining,
    /// `INSERT` without a key: two begins insert two records.
    WithoutKey,
}

/// A statement, which is one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Statement {
    Begin,
    Heartbeat,
    Finalize(Outcome),
    /// `Proof::Lease`
    PresumeOverdue,
    /// `Proof::DeadJournal`
    PresumeDead,
}

/// The end of a run in its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outcome {
    NotExecuted,
    Exited { code: i32 },
    SupervisorKilled,
}

/// The fields of a row that decide about a change. Times are reduced to one bit: more than a lease ago, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) status: Status,
    pub(crate) reason: Option<Reason>,
    pub(crate) presumed: bool,
    /// The last sign of life is more than a lease ago, by the database's clock.
    pub(crate) overdue: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    pub(crate) up_for_a_lease: bool,
    pub(crate) record: Option<Record>,
    /// The number of the run's rows in the user's table.
    pub(crate) records: u8,
}

const LEASE_SECONDS: u32 = 300;
const NOW_SECONDS: i64 = 1_000_000;

fn seconds_ago(seconds: u32) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(NOW_SECONDS - i64::from(seconds))
}

impl Database {
    pub(crate) const fn new() -> Self {
        Self { up_for_a_lease: true, record: None, records: 0 }
    }

    /// A lease passes without a heartbeat, with the database up or down.
    pub(crate) fn lease_passes(&mut self, up: bool) {
        self.up_for_a_lease = up;
        if let Some(record) = &mut self.record {
            record.overdue = true;
        }
    }

    /// Whether `recover` on another host lists the run.
    pub(crate) fn lists_as_overdue(&self) -> bool {
        self.record.is_some_and(|record| record.overdue)
            && self.merged(Statement::PresumeOverdue, self.record).1 == Applied::Written
    }

    /// Executes `statement` and commits.
    pub(crate) fn execute(&mut self, statement: Statement, statements: Statements) -> Applied {
        let (record, applied) = match (statements, statement, self.record) {
            (Statements::ByIdAlone, _, Some(record)) => self.merged(statement, Some(record.forgotten())),
            (Statements::ReadThenWrite, Statement::PresumeOverdue, Some(record)) => {
                self.merged(Statement::PresumeDead, Some(record.forgotten()))
            }
            (Statements::GuardedByTraining, _, Some(record)) if record.status != Status::Training => {
                (Some(record), Applied::Kept)
            }
            (Statements::WithoutKey, Statement::Begin, _) => self.merged(statement, None),
            (_, _, record) => self.merged(statement, record),
        };
        if statement == Statement::Begin && applied == Applied::Written {
            self.records += 1;
        }
        self.record = record;
        applied
    }

    fn merged(&self, statement: Statement, record: Option<Record>) -> (Option<Record>, Applied) {
        let up_since = seconds_ago(if self.up_for_a_lease { LEASE_SECONDS } else { 0 });
        let clock = DatabaseClock { now: seconds_ago(0), up_since, timeline: None };
        let (row, applied) = merge(record.map(Record::row), &statement.change(), clock);
        (row.map(|row| Record::of(&row)), applied)
    }
}

impl Record {
    /// Whether the end comes from the run's own journal.
    pub(crate) fn is_truth(self) -> bool {
        self.reason.is_some() && !self.presumed
    }

    /// Whether status and reason are those of `outcome`.
    pub(crate) fn shows(self, outcome: Outcome) -> bool {
        let (status, reason, _) = ending_of(&outcome.trainer_exit(), None, false);
        (self.status, self.reason, self.presumed) == (status, Some(reason), false)
    }

    /// The record as a statement without a condition on the state treats it: always in training.
    fn forgotten(self) -> Self {
        Self { status: Status::Training, reason: None, presumed: false, ..self }
    }

    fn of(row: &Row) -> Self {
        let overdue = row.watch.is_some_and(|watch| watch.heartbeat_at < seconds_ago(watch.lease_seconds));
        Self { status: row.status.unwrap_or(Status::Failed), reason: row.reason, presumed: row.presumed, overdue }
    }

    fn row(self) -> Row {
        Row {
            status: Some(self.status),
            train_start_time: None,
            train_end_time: None,
            train_duration: None,
            train_metrics: None,
            model_path: None,
            error_message: None,
            created_at: None,
            updated_at: None,
            is_legible: true,
            reason: self.reason,
            exit_code: None,
            signal: None,
            stop_signal: None,
            pid: None,
            usage: None,
            model_bytes: None,
            presumed: self.presumed,
            watch: Some(Watch {
                heartbeat_at: seconds_ago(if self.overdue { LEASE_SECONDS + 1 } else { 0 }),
                last_seen_at: seconds_ago(0),
                lease_seconds: LEASE_SECONDS,
                timeline: None,
            }),
            recovered_at: None,
            recovered_by: None,
        }
    }
}

// `Status` and `Reason` implement no `Hash`: their texts are hashed.
impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.status.as_str(), self.reason.map(|reason| reason.to_string()), self.presumed, self.overdue).hash(state);
    }
}

impl Outcome {
    fn trainer_exit(self) -> TrainerExit {
        match self {
            Self::NotExecuted => TrainerExit::NotExecuted { message: String::new() },
            Self::Exited { code } => TrainerExit::Exited { code },
            Self::SupervisorKilled => TrainerExit::Unknown { reason: Reason::SupervisorKilled, message: String::new() },
        }
    }
}

impl Statement {
    fn change(self) -> Change {
        match self {
            Self::Begin => Change::Begin(run()),
            Self::Heartbeat => Change::Heartbeat(Progress::default()),
            Self::Finalize(outcome) => {
                let (status, reason, error_message) = ending_of(&outcome.trainer_exit(), None, false);
                let ending = Ending {
                    status,
                    reason,
                    ended_at: seconds_ago(0),
                    duration_seconds: 0,
                    exit_code: None,
                    signal: None,
                    error_message,
                    usage: None,
                };
                Change::Finalize(Progress::default(), ending)
            }
            Self::PresumeOverdue => presume(Proof::Lease),
            Self::PresumeDead => presume(Proof::DeadJournal),
        }
    }
}

fn presume(proof: Proof) -> Change {
    Change::Presume(Presumption { proof, seen_at: None, recovered_by: String::new(), message: String::new() })
}

fn run() -> Run {
    Run {
        run_id: RunId(Uuid::nil()),
        name: String::new(),
        version: None,
        adopt: None,
        set: Vec::new(),
        begun_at: seconds_ago(0),
        command: Vec::new(),
        cwd: String::new(),
        host: String::new(),
        username: String::new(),
        context: Map::new(),
        model_path: None,
        lease_seconds: LEASE_SECONDS,
        circumstances: Circumstances::default(),
        is_exclusive: false,
    }
}
