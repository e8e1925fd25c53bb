//! The database of records: one store over a narrow `Session`, which PostgreSQL and SQLite implement. Owns what may be asked
//! of a database and the kinds of its errors. Must not decide an outcome, wait without a bound of its caller's, or retry.

pub mod attempt;
mod begin;
mod cache;
mod change;
mod claim;
mod examine;
mod fitness;
mod fitting;
mod gauges;
mod hosts;
mod locked_run;
mod migrate;
mod note;
mod origin;
mod postgres;
mod read;
mod record_row;
mod reduction;
mod rehearsal;
mod related;
mod renew;
mod run_row;
mod series;
mod server;
mod session;
mod shape;
mod sqlite;
mod statement;
mod table;
mod table_check;
#[cfg(test)]
mod tests;
mod transaction;
mod version;
mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use thiserror::Error;

pub use self::cache::StoreCache;
pub use self::fitness::Unfit;
pub use self::gauges::{FirstCurve, Gauges, LastSuccess, Pulse};
pub use self::hosts::Hosts;
use self::reduction::Reduction;
pub use self::rehearsal::{Rehearsal, RehearsedRun};
pub use self::server::{ServerFacts, TableFacts};
use self::session::Session;
use self::table::TableName;
use self::transaction::Nesting;
use crate::config::DatabaseTarget;
use crate::record::{Applied, Examined, Reason, RecordId, RunId, Status};

/// A column and its new text.
type Assignment = (&'static str, Option<String>);

/// How to open a database.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The user's table, schema-qualified or not, as typed.
    pub table: String,
    /// Whether missing tables and columns of runwrap's own may be made (`--no-migrate`).
    pub migrate: bool,
    /// Which of several hosts to connect to: the number of the attempt, modulo the number of hosts.
    pub attempt: usize,
    /// The server's own bound of one statement. The caller bounds the whole attempt from outside: no client library can.
    pub statement_timeout: Duration,
    /// The most bytes that a server may send as one answer.
    pub answer_bytes_max: usize,
    /// What earlier attempts of this process on the same database and table have found.
    pub cache: StoreCache,
}

/// One connection to a database. Every method is one transaction, safe to repeat after an unknown outcome.
pub struct Store {
    session: Box<dyn Session>,
    table: TableName,
    options: OpenOptions,
    nesting: Nesting,
    /// The parts of a change that the database refused, and that are left out.
    reduction: Reduction,
    notice: Option<String>,
}

impl Store {
    /// A message for the user about the last transactions, once.
    pub fn take_notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    /// The same connection on the table of `options`: the begin of a run resolves the name that the user typed. The shape of one table
    /// never serves another.
    fn on(&mut self, target: &DatabaseTarget, options: OpenOptions) -> Result<&mut Self, StoreError> {
        if self.options.table != options.table {
            self.table = table_name(target, &options.table)?;
            self.options = options;
        }
        Ok(self)
    }

    /// Rolls back all later work when the connection is closed. Until then the connection reads its own changes.
    pub fn rehearse(&mut self) {
        self.nesting = Nesting::Announced;
    }
}

/// Connects to `target`. The tables are looked at, and made if that is allowed, at the first use.
/// Not bounded in time: an attempt of [`attempt::Attempts`] is.
///
/// # Errors
/// [`StoreError::BadInput`] for an impossible table name, otherwise the connection's error.
pub fn open(target: &DatabaseTarget, options: &OpenOptions) -> Result<Store, StoreError> {
    let table = table_name(target, &options.table)?;
    let session: Box<dyn Session> = match target {
        DatabaseTarget::Sqlite(path) => Box::new(sqlite::SqliteSession::open(path, options.statement_timeout)?),
        DatabaseTarget::Postgres(target) => Box::new(postgres::PostgresSession::open(
            target,
            options.attempt,
            options.statement_timeout,
            options.answer_bytes_max,
        )?),
    };
    Ok(Store {
        session,
        table,
        options: options.clone(),
        nesting: Nesting::None,
        reduction: Reduction::NONE,
        notice: None,
    })
}

fn table_name(target: &DatabaseTarget, typed: &str) -> Result<TableName, StoreError> {
    match target {
        DatabaseTarget::Sqlite(_) => sqlite::table_name(typed),
        DatabaseTarget::Postgres(_) => TableName::parse(typed),
    }
}

/// Which records to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Any of these; all if there is none.
    pub statuses: Vec<Status>,
    /// With `*` for any text.
    pub name: Option<String>,
    /// Started then or later.
    pub since: Option<DateTime<Utc>>,
    pub job: Option<String>,
    pub host: Option<String>,
    pub reason: Option<Reason>,
    /// Each with its value, or with any.
    pub tags: Vec<(String, Option<String>)>,
    /// Only the runs that this run's trainer started.
    pub parent: Option<RunId>,
    /// Only the records behind this one in the order of the list: a key of [`Store::list_page`].
    pub before: Option<String>,
    /// At most this many.
    pub limit: u32,
    /// Read only the columns of the user's table that a printed table has.
    pub summary: bool,
    /// Of a summary: also the metrics.
    pub metrics: bool,
}

/// One record, flat, keys named as the columns: all columns of the user's table, then those of `runwrap_runs`
/// (null without a run). Times are RFC 3339 in UTC with a `Z`; JSON columns are JSON, not text.
/// `last_seen_seconds_ago`, by the database's clock, is present for a watched record in `training`.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordView(pub Map<String, Value>);

/// A record that may be stuck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    pub record_id: RecordId,
    /// The path of its model, unless a record that started later writes it too.
    pub model_path: Option<String>,
}

/// Which records to examine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    /// Records whose run has no end yet.
    LiveRuns,
}

/// Some records, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The number of records read.
    pub read: u64,
    /// The last of them; `None` behind the end.
    pub last: Option<RecordId>,
    pub suspicious: Vec<Suspicious>,
}

/// A record that may not be well.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspicious {
    /// As JSON shows it: a number or a text.
    pub record_id: Value,
    pub examined: Examined,
}

/// An addition of a person to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub text: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// The tags that are taken away, before the others are added.
    pub untagged: Vec<String>,
    /// The user and the host.
    pub by: String,
    /// By the clock of that host. Decides nothing.
    pub at: DateTime<Utc>,
}

/// The result of a decision, and the record before and after it in one transaction. `None` if it is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    pub applied: Applied,
    pub before: Option<RecordView>,
    pub after: Option<RecordView>,
}

impl Decided {
    const MISSING: Self = Self { applied: Applied::Missing, before: None, after: None };
}

/// A database's error, by what follows from it. Never holds a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It may work later: unreachable, busy, restarting, out of connections, read-only, full.
    #[error("{message}")]
    Transient { message: String },
    /// A person must act: a right, a column, a constraint, a password. Retrying in a loop helps nobody.
    #[error("{message}")]
    Permanent { message: String, hint: String },
    /// Another run of the name has no end, and this one must not begin beside it (`--unless-running`).
    #[error("{message}")]
    Running { run_id: RunId, message: String },
    /// An option of the run is wrong in this database: `--set` of no column, `--record-id` of no row.
    #[error("{message}")]
    BadInput { message: String, hint: String },
}

fn not_migrated(database: &str) -> StoreError {
    StoreError::Permanent {
        message: format!("{database}: runwrap's tables are missing or out of date"),
        hint: "run `runwrap migrate`, or print the statements with `runwrap migrate --print`".into(),
    }
}

fn too_new(database: &str, number: u32, known: u32) -> StoreError {
    StoreError::Permanent {
        message: format!(
            "{database}: its tables are at migration {number}, and this runwrap knows only those up to {known}"
        ),
        hint: "use the runwrap that made them, or a later one".into(),
    }
}
