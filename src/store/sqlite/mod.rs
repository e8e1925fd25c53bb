//! Records in an SQLite file: the default. Owns the connection and its order of settings; every write is one
//! `BEGIN IMMEDIATE` transaction, since a deferred one that turns into a writer is refused despite the timeout.
//! Must not decide by what it has read. Called through the [`Store`] trait.

mod begin;
mod connect;
mod decide;
mod errors;
mod functions;
mod rows;
#[cfg(test)]
mod scale;
mod schema;
mod version;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Map, Value, json};

use self::errors::sort;
use self::rows::{Facts, execute, query};
use self::schema::Layout;
use super::change::{change_facts, without_nul};
use super::entry::{RUN_COLUMNS, entry};
use super::examine::{flags, page};
use super::table::TableName;
use super::template::Words;
use super::{Decided, Filter, OpenOptions, Page, RecordView, Scope, Store, StoreError, Suspect, not_migrated};
use crate::record::{Applied, Begun, Change, Decision, RecordId, Run, RunId};
use crate::sys::failpoint;

pub(super) use self::schema::migrations_sql;

/// The statements, as `sql/sqlite` has them.
mod sql {
    pub(super) const FOUND: &str = include_str!("../../../sql/sqlite/found.sql");
    pub(super) const HEARTBEAT_RECORD: &str = include_str!("../../../sql/sqlite/heartbeat_record.sql");
    pub(super) const HEARTBEAT_RUN: &str = include_str!("../../../sql/sqlite/heartbeat_run.sql");
    pub(super) const FINALIZE_RECORD: &str = include_str!("../../../sql/sqlite/finalize_record.sql");
    pub(super) const FINALIZE_RUN: &str = include_str!("../../../sql/sqlite/finalize_run.sql");
    pub(super) const OVERDUE: &str = include_str!("../../../sql/sqlite/overdue.sql");
    pub(super) const EXAMINE: &str = include_str!("../../../sql/sqlite/examine.sql");
    pub(super) const ESTIMATE: &str = include_str!("../../../sql/sqlite/estimate.sql");
    pub(super) const STUCK: &str = include_str!("../../../sql/sqlite/stuck.sql");
    pub(super) const PRESUME_RECORD: &str = include_str!("../../../sql/sqlite/presume_record.sql");
    pub(super) const PRESUME_RUN: &str = include_str!("../../../sql/sqlite/presume_run.sql");
    pub(super) const LIST: &str = include_str!("../../../sql/sqlite/list.sql");
    pub(super) const SHOW_RECORD: &str = include_str!("../../../sql/sqlite/show_record.sql");
    pub(super) const SHOW_RUN: &str = include_str!("../../../sql/sqlite/show_run.sql");
}

/// One connection.
pub(super) struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    table: TableName,
    options: OpenOptions,
    /// What the tables look like, and the file's schema version at which they do.
    layout: Option<(i64, Layout)>,
    rehearsal: Rehearsal,
}

/// Whether what is done is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rehearsal {
    No,
    Announced,
    /// Within a transaction that nobody commits: what would be one is a savepoint in it.
    Open,
}

/// A transaction, the tables as it finds them, and the file for messages.
struct Session<'a> {
    connection: &'a Connection,
    layout: &'a Layout,
    path: &'a Path,
}

impl SqliteStore {
    pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Self, StoreError> {
        let table = schema::table_name(&options.table)?;
        let connection = connect::connect(path, options.statement_timeout)?;
        let options = options.clone();
        Ok(Self { connection, path: path.to_owned(), table, options, layout: None, rehearsal: Rehearsal::No })
    }

    /// Runs `work` in a transaction of its own, after making sure that the tables are there.
    fn transaction<T>(
        &mut self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Session<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.rehearsal != Rehearsal::No {
            return self.rehearsed(work);
        }
        let sorted = |error: rusqlite::Error| sort(&self.path, &error);
        let mut transaction = self.connection.transaction_with_behavior(behavior).map_err(sorted)?;
        let version = schema::version(&transaction, &self.path)?;
        let remembered = self.layout.take().filter(|(as_of, _)| *as_of == version);
        let mut layout = match remembered {
            Some((_, layout)) => layout,
            None => schema::read(&transaction, &self.path, &self.table)?,
        };
        if !layout.is_ready() {
            if !self.options.migrate {
                return Err(not_migrated(&format!("sqlite:{}", self.path.display())));
            }
            // A transaction of their own: the tables stay even where `work` is refused.
            transaction.rollback().map_err(sorted)?;
            transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sorted)?;
            schema::make(&transaction, &self.path, &self.table)?;
            transaction.commit().map_err(sorted)?;
            transaction = self.connection.transaction_with_behavior(behavior).map_err(sorted)?;
            layout = schema::read(&transaction, &self.path, &self.table)?;
        }
        let result = work(&Session { connection: &transaction, layout: &layout, path: &self.path })?;
        transaction.commit().map_err(sorted)?;
        // Made tables have another version now, and are read once more.
        self.layout = Some((version, layout));
        Ok(result)
    }
}

impl SqliteStore {
    /// As `transaction`, within the one that is never committed.
    fn rehearsed<T>(&mut self, work: impl FnOnce(&Session<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = &self.connection;
        let script = |text: &str| connection.execute_batch(text).map_err(|error| sort(&self.path, &error));
        if self.rehearsal == Rehearsal::Announced {
            script("BEGIN IMMEDIATE")?;
            self.rehearsal = Rehearsal::Open;
        }
        script("SAVEPOINT step")?;
        let steps = || {
            if !schema::read(connection, &self.path, &self.table)?.is_ready() {
                if !self.options.migrate {
                    return Err(not_migrated(&format!("sqlite:{}", self.path.display())));
                }
                schema::make(connection, &self.path, &self.table)?;
            }
            let layout = schema::read(connection, &self.path, &self.table)?;
            work(&Session { connection, layout: &layout, path: &self.path })
        };
        let result = steps();
        script(if result.is_ok() { "RELEASE step" } else { "ROLLBACK TO step; RELEASE step" })?;
        result
    }
}

impl Session<'_> {
    fn execute(&self, statement: &str, facts: &Facts) -> Result<usize, StoreError> {
        execute(self.connection, &self.layout.words.fill(statement), facts).map_err(|error| sort(self.path, &error))
    }

    fn query(&self, statement: &str, facts: &Facts) -> Result<Vec<Vec<Value>>, StoreError> {
        query(self.connection, &self.layout.words.fill(statement), facts).map_err(|error| sort(self.path, &error))
    }

    fn entries(&self, statement: &str, facts: &Facts) -> Result<Vec<RecordView>, StoreError> {
        self.entries_in(&self.layout.words, statement, facts)
    }

    fn entries_in(&self, words: &Words, statement: &str, facts: &Facts) -> Result<Vec<RecordView>, StoreError> {
        let run_columns = RUN_COLUMNS.map(|name| format!("run.{name}")).join(",\n    ");
        let statement = words.with("run_columns", run_columns).fill(statement);
        let rows = query(self.connection, &statement, facts).map_err(|error| sort(self.path, &error))?;
        Ok(rows.into_iter().map(|row| self.entry(row)).collect())
    }

    /// An entry of a row: the user's columns, the run's, and the age of the heartbeat.
    fn entry(&self, row: Vec<Value>) -> RecordView {
        let mut values = row.into_iter();
        let columns = self.layout.columns.0.iter();
        let record = columns.map(|column| (column.name.clone(), values.next().unwrap_or(Value::Null))).collect();
        let run: Map<String, Value> = RUN_COLUMNS
            .into_iter()
            .map(|name| (name.to_owned(), rows::run_value(name, values.next().unwrap_or(Value::Null))))
            .collect();
        let age = values.next().and_then(|age| age.as_f64());
        entry(&self.layout.columns, record, &run, age)
    }
}

impl Store for SqliteStore {
    fn rehearse(&mut self) {
        self.rehearsal = Rehearsal::Announced;
    }

    fn migrate(&mut self) -> Result<usize, StoreError> {
        let sorted = |error: rusqlite::Error| sort(&self.path, &error);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sorted)?;
        let applied = schema::make(&transaction, &self.path, &self.table)?;
        transaction.commit().map_err(sorted)?;
        Ok(applied)
    }

    fn begin(&mut self, run: &Run, known: Option<&Begun>) -> Result<Begun, StoreError> {
        self.transaction(TransactionBehavior::Immediate, |session| begin::begin(session, run, known))
    }

    fn apply(&mut self, run_id: RunId, change: &Change) -> Result<Applied, StoreError> {
        let (of_record, of_run) = match change {
            Change::Begin(run) => return self.begin(run, None).map(|_begun| Applied::Written),
            Change::Heartbeat(_) => (sql::HEARTBEAT_RECORD, sql::HEARTBEAT_RUN),
            Change::Finalize(..) => (sql::FINALIZE_RECORD, sql::FINALIZE_RUN),
            Change::Presume(_) => (sql::PRESUME_RECORD, sql::PRESUME_RUN),
        };
        self.transaction(TransactionBehavior::Immediate, |session| {
            let mut facts = change_facts(change, &session.layout.columns, rows::instant_text);
            facts.insert("run_id".into(), json!(run_id));
            if session.query(sql::FOUND, &facts)?.is_empty() {
                return Ok(Applied::Missing);
            }
            let told = session.execute(of_record, &facts)?;
            // A presumption is about the record: where that is not closed by it, nobody has presumed anything.
            if told == 0 && matches!(change, Change::Presume(_)) {
                return Ok(Applied::Kept);
            }
            let written = session.execute(of_run, &facts)?;
            if matches!(change, Change::Finalize(..)) {
                failpoint::reached("committing");
            }
            Ok(if written > 0 { Applied::Written } else { Applied::Kept })
        })
    }

    fn decide(&mut self, record_id: &RecordId, decision: &Decision) -> Result<Decided, StoreError> {
        self.transaction(TransactionBehavior::Immediate, |session| decide::decide(session, record_id, decision))
    }

    fn overdue(&mut self) -> Result<Vec<RunId>, StoreError> {
        self.transaction(TransactionBehavior::Deferred, |session| {
            let ids = session.query(sql::OVERDUE, &Facts::new())?.into_iter().flatten();
            Ok(ids.filter_map(|id| id.as_str()?.parse().ok().map(RunId)).collect())
        })
    }

    fn stuck(&mut self, silent_seconds: u32) -> Result<Vec<Suspect>, StoreError> {
        let facts = rows::facts([("silent_seconds", json!(silent_seconds))]);
        self.transaction(TransactionBehavior::Deferred, |session| {
            let rows = session.query(sql::STUCK, &facts)?;
            let text = |row: &[Value], at: usize| row.get(at).and_then(Value::as_str).map(str::to_owned);
            let suspect =
                |row: Vec<Value>| Some(Suspect { record_id: RecordId(text(&row, 0)?), model_path: text(&row, 1) });
            Ok(rows.into_iter().filter_map(suspect).collect())
        })
    }

    fn examine(&mut self, scope: Scope, after: Option<&RecordId>, limit: u32) -> Result<Page, StoreError> {
        let facts = rows::facts([("after", json!(after)), ("limit", json!(limit))]);
        self.transaction(TransactionBehavior::Deferred, |session| {
            let words = session.layout.words.flagged(&flags(scope, after));
            let rows = query(session.connection, &words.fill(sql::EXAMINE), &facts);
            Ok(page(&session.layout.columns, &rows.map_err(|error| sort(session.path, &error))?))
        })
    }

    fn estimate(&mut self) -> Result<Option<u64>, StoreError> {
        self.transaction(TransactionBehavior::Deferred, |session| {
            Ok(session.query(sql::ESTIMATE, &Facts::new())?.first().and_then(|row| row.first()?.as_u64()))
        })
    }

    fn list(&mut self, filter: &Filter) -> Result<Vec<RecordView>, StoreError> {
        let facts = rows::facts([
            ("status", json!(filter.status.map(crate::record::Status::as_str))),
            ("name", json!(filter.name.as_deref().map(without_nul))),
            ("limit", json!(filter.limit)),
        ]);
        self.transaction(TransactionBehavior::Deferred, |session| {
            session.entries_in(&session.layout.words.flagged(&filter.flags(&session.layout.words)), sql::LIST, &facts)
        })
    }

    fn show(&mut self, id: &str) -> Result<Option<RecordView>, StoreError> {
        let id = without_nul(id);
        self.transaction(TransactionBehavior::Deferred, |session| {
            if let Ok(run_id) = uuid::Uuid::try_parse(&id) {
                let facts = rows::facts([("id", json!(run_id))]);
                let found = session.entries(sql::SHOW_RUN, &facts)?.into_iter().next();
                if found.is_some() {
                    return Ok(found);
                }
            }
            let facts = rows::facts([("id", json!(id))]);
            Ok(session.entries(sql::SHOW_RECORD, &facts)?.into_iter().next())
        })
    }
}
