//! The databases behind one trait, and what may go wrong with one. Owns the trait, its errors and `open`;
//! the two implementations are `postgres` and `sqlite`. Must not decide an outcome, wait without a bound
//! that its caller gave, or retry: `delivery` does. Called by `delivery` and by the commands that read.

mod adoption;
pub mod attempt;
mod change;
mod columns;
mod decision;
mod entry;
mod examine;
mod postgres;
mod sqlite;
mod table;
mod template;

use std::time::Duration;

use serde_json::{Map, Value};
use thiserror::Error;

use self::postgres::PostgresStore;
use self::sqlite::SqliteStore;
use self::table::TableName;
use crate::config::DatabaseTarget;
use crate::record::{Applied, Begun, Change, Decision, Examined, RecordId, Run, RunId, Status};

/// How to open a database.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The user's table, schema-qualified or not, as typed.
    pub table: String,
    /// Whether missing tables and columns of runwrap's own may be made (`--no-migrate`).
    pub migrate: bool,
    /// Which of several hosts to speak to: the number of the attempt, modulo the number of hosts.
    pub attempt: usize,
    /// What a single statement may take on the server before the server itself gives it up. The caller bounds
    /// the whole attempt from outside: no client library can be trusted to do that.
    pub statement_timeout: Duration,
}

/// One connection to a database. Every method is one transaction, safe to repeat after an unknown outcome.
pub trait Store: Send {
    /// From now on everything is done as ever, seen by this connection alone, and undone when it is closed.
    fn rehearse(&mut self);

    /// Brings the schema up to date. Returns how many migrations were applied.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn migrate(&mut self) -> Result<usize, StoreError>;

    /// Begins `run`, or finds it begun. Beginning twice is beginning once; a row that somebody deleted from
    /// the user's table is inserted again, under the id and version in `known` or in the database.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] for an unknown column in `set` or an `adopt` of no `training` row.
    fn begin(&mut self, run: &Run, known: Option<&Begun>) -> Result<Begun, StoreError>;

    /// Applies `change` by the rules of [`crate::record::merge`].
    ///
    /// # Errors
    /// See [`StoreError`].
    fn apply(&mut self, run_id: RunId, change: &Change) -> Result<Applied, StoreError>;

    /// Decides about a record by the rules of [`crate::record::decide`], whoever watches it.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn decide(&mut self, record_id: &RecordId, decision: &Decision) -> Result<Decided, StoreError>;

    /// The runs whose lease has run out, by the database's clock, the oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn overdue(&mut self) -> Result<Vec<RunId>, StoreError>;

    /// The records in `training` that nothing watches, without a sign of life for so long, by the database's clock.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn stuck(&mut self, silent_seconds: u32) -> Result<Vec<Suspect>, StoreError>;

    /// The next `limit` records of `scope` in the order of their ids: those of them that may not be well.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn examine(&mut self, scope: Scope, after: Option<&RecordId>, limit: u32) -> Result<Page, StoreError>;

    /// About how many records there are; `None` where the database does not know without counting for long.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn estimate(&mut self) -> Result<Option<u64>, StoreError>;

    /// The newest records that fit `filter`, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn list(&mut self, filter: &Filter) -> Result<Vec<RecordView>, StoreError>;

    /// Everything known of one record, by its `id` or by its run's id; `None` where there is neither.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn show(&mut self, id: &str) -> Result<Option<RecordView>, StoreError>;
}

/// Connects to `target`. The schema is looked at, and made if that is allowed, at the first use.
/// Nothing in here is bounded in time: [`attempt::start`] and [`attempt::within`] are.
///
/// # Errors
/// [`StoreError::BadInput`] for a table name that is none, otherwise what the connection says.
pub fn open(target: &DatabaseTarget, options: &OpenOptions) -> Result<Box<dyn Store>, StoreError> {
    Ok(match target {
        DatabaseTarget::Sqlite(path) => Box::new(SqliteStore::open(path, options)?),
        DatabaseTarget::Postgres(target) => Box::new(PostgresStore::open(target, options)?),
    })
}

/// The statements that make everything in an empty database, for a person to run (`runwrap migrate --print`).
///
/// # Errors
/// [`StoreError::BadInput`] for a table name that is none.
pub fn migrations_sql(target: &DatabaseTarget, table: &str) -> Result<String, StoreError> {
    Ok(match target {
        DatabaseTarget::Sqlite(_) => sqlite::migrations_sql(&TableName::parse(table)?),
        DatabaseTarget::Postgres(_) => postgres::migrations_sql(&TableName::parse(table)?),
    })
}

/// Which records to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub status: Option<Status>,
    pub name: Option<String>,
    /// At most this many.
    pub limit: u32,
}

impl Filter {
    /// The flags of `list.sql` for a table of `words`.
    fn flags(&self, words: &template::Words) -> Vec<&'static str> {
        let by_name = self.name.is_some() && words.flags.contains("id.integer");
        let way = if by_name { "list.named" } else { "list.all" };
        self.status.map(|_status| "list.status").into_iter().chain([way]).collect()
    }
}

/// One record, flat, keys named as the columns: all columns of the user's table, then those of `runwrap_runs`
/// (null where nothing watches the row). Times are RFC 3339 in UTC with a `Z`; JSON columns are JSON, not text.
/// `last_seen_seconds_ago`, judged by the database's clock, is there for a record in `training` that is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordView(pub Map<String, Value>);

/// A record that may be stuck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    pub record_id: RecordId,
    /// Where its model was to be written, if nothing that began later writes there.
    pub model_path: Option<String>,
}

/// Which records to examine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    /// Those whose run has no end yet, however many have ended.
    LiveRuns,
}

/// Some records, in the order of their ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// How many were read.
    pub read: u64,
    /// The last of them; `None` behind the end of the table.
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

/// What became of a decision, and the record before and after it, as one transaction saw them. `None` where it is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    pub applied: Applied,
    pub before: Option<RecordView>,
    pub after: Option<RecordView>,
}

impl Decided {
    const MISSING: Self = Self { applied: Applied::Missing, before: None, after: None };
}

/// What went wrong with a database, sorted by what follows from it. Never holds a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It may work later: unreachable, busy, restarting, out of connections, read-only, full.
    #[error("{message}")]
    Transient { message: String },
    /// A person must act: a right, a column, a constraint, a password. Retrying in a loop helps nobody.
    #[error("{message}")]
    Permanent { message: String, hint: String },
    /// The run was asked for something that the database shows to be wrong: `--set` of no column, `--record-id` of no row.
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
