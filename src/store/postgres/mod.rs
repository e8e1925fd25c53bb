//! Records in PostgreSQL. Owns the session: one transaction per method, bounded on the server, unnamed statements
//! only (a transaction pooler gives the next statement to another server). Must not decide by what it has read:
//! conditions are in the statements. Called through the [`Store`] trait.

mod begin;
mod catalog;
mod connect;
mod decide;
mod errors;
mod schema;
mod tls;

use postgres::types::{ToSql, Type};
use postgres::{Client, Row};
use serde_json::{Map, Value};

use self::catalog::Layout;
use self::errors::Server;
use super::change::{change_json, without_nul};
use super::entry::{entry, json_object};
use super::examine::{flags, page};
use super::table::TableName;
use super::{Decided, Filter, OpenOptions, Page, RecordView, Scope, Store, StoreError, Suspect, not_migrated};
use crate::config::PostgresTarget;
use crate::record::{Applied, Begun, Change, Decision, RecordId, Run, RunId};
use crate::sys::failpoint;

pub(super) use self::schema::migrations_sql;

/// The statements, as `sql/postgres` has them.
mod sql {
    pub(super) const SESSION: &str = include_str!("../../../sql/postgres/session.sql");
    pub(super) const LOCK_RUN: &str = include_str!("../../../sql/postgres/lock_run.sql");
    pub(super) const HEARTBEAT: &str = include_str!("../../../sql/postgres/heartbeat.sql");
    pub(super) const FINALIZE: &str = include_str!("../../../sql/postgres/finalize.sql");
    pub(super) const OVERDUE: &str = include_str!("../../../sql/postgres/overdue.sql");
    pub(super) const EXAMINE: &str = include_str!("../../../sql/postgres/examine.sql");
    pub(super) const ESTIMATE: &str = include_str!("../../../sql/postgres/estimate.sql");
    pub(super) const STUCK: &str = include_str!("../../../sql/postgres/stuck.sql");
    pub(super) const PRESUME: &str = include_str!("../../../sql/postgres/presume.sql");
    pub(super) const LIST: &str = include_str!("../../../sql/postgres/list.sql");
    pub(super) const SHOW_RECORD: &str = include_str!("../../../sql/postgres/show_record.sql");
    pub(super) const SHOW_RUN: &str = include_str!("../../../sql/postgres/show_run.sql");
}

/// One connection.
pub(super) struct PostgresStore {
    client: Client,
    server: Server,
    table: TableName,
    options: OpenOptions,
    /// What the tables look like. Read in the first transaction.
    layout: Option<Layout>,
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

impl PostgresStore {
    pub(super) fn open(target: &PostgresTarget, options: &OpenOptions) -> Result<Self, StoreError> {
        let table = TableName::parse(&options.table)?;
        let (client, server) = connect::connect(target, options.attempt)?;
        Ok(Self { client, server, table, options: options.clone(), layout: None, rehearsal: Rehearsal::No })
    }

    /// Runs `work` in a transaction of its own, after making sure that the tables are there.
    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Session<'_>, &Layout) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let layout = match self.layout.take() {
            Some(layout) => {
                self.session().begin()?;
                layout
            }
            None => self.ready_layout()?,
        };
        let mut session = self.session();
        let result = work(&mut session, &layout);
        let ended = session.end(result);
        self.layout = Some(layout);
        ended
    }

    /// The layout, read in a transaction that is left open. Missing tables are made first, if that is allowed.
    fn ready_layout(&mut self) -> Result<Layout, StoreError> {
        let table = self.table.clone();
        let mut session = self.session();
        session.begin()?;
        let read = schema::read(&mut session, &table);
        match read {
            Ok(layout) if layout.is_ready() => return Ok(layout),
            Ok(_) => session.end(Ok(()))?,
            Err(error) => return session.end(Err(error)),
        }
        if !self.options.migrate {
            return Err(not_migrated(self.server.name()));
        }
        self.make_tables()?;
        let mut session = self.session();
        session.begin()?;
        match schema::read(&mut session, &table) {
            Ok(layout) if layout.is_ready() => Ok(layout),
            Ok(_) => session.end(Err(not_migrated(session.server.name()))),
            Err(error) => session.end(Err(error)),
        }
    }

    fn make_tables(&mut self) -> Result<usize, StoreError> {
        let table = self.table.clone();
        let mut session = self.session();
        session.begin()?;
        let made = schema::make(&mut session, &table);
        session.end(made)
    }

    fn session(&mut self) -> Session<'_> {
        let timeout_ms = self.options.statement_timeout.as_millis().clamp(1, i32::MAX as u128);
        Session { client: &mut self.client, server: &self.server, timeout_ms, rehearsal: &mut self.rehearsal }
    }
}

/// A connection within a transaction.
struct Session<'a> {
    client: &'a mut Client,
    server: &'a Server,
    timeout_ms: u128,
    rehearsal: &'a mut Rehearsal,
}

impl Session<'_> {
    fn begin(&mut self) -> Result<(), StoreError> {
        if *self.rehearsal != Rehearsal::Open {
            self.script(&sql::SESSION.replace("{timeout_ms}", &self.timeout_ms.to_string()))?;
        }
        if *self.rehearsal == Rehearsal::No {
            return Ok(());
        }
        *self.rehearsal = Rehearsal::Open;
        self.script("SAVEPOINT step")
    }

    /// Commits what went well and takes back what did not.
    fn end<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let (commit, roll_back) = match *self.rehearsal {
            Rehearsal::No => ("COMMIT", "ROLLBACK"),
            Rehearsal::Announced | Rehearsal::Open => {
                ("RELEASE SAVEPOINT step", "ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step")
            }
        };
        match result {
            Ok(value) => self.script(commit).map(|()| value),
            Err(error) => {
                // The first error says what happened; a connection that cannot even roll back is rolled back by its end.
                if let Err(second) = self.script(roll_back) {
                    log::debug!(event = "rollback_failed", error:% = second; "");
                }
                Err(error)
            }
        }
    }

    /// Statements without parameters and without rows.
    fn script(&mut self, statements: &str) -> Result<(), StoreError> {
        self.client.batch_execute(statements).map_err(|error| self.server.sort(&error))
    }

    /// One unnamed statement. Parameters are texts, and so is every column of the result.
    fn rows(&mut self, statement: &str, parameters: &[Option<&str>]) -> Result<Vec<Row>, StoreError> {
        self.query(statement, parameters).map_err(|error| self.server.sort(&error))
    }

    /// As `rows`, for a statement that finds a row by an id that somebody typed: one that the type of the column
    /// cannot even hold is of no row. The transaction must end after it.
    fn rows_by_id(&mut self, statement: &str, parameters: &[Option<&str>]) -> Result<Vec<Row>, StoreError> {
        match self.query(statement, parameters) {
            Err(error) if errors::is_data_exception(&error) => {
                // A commit of what has failed is a roll-back; the release of a savepoint is refused.
                if *self.rehearsal == Rehearsal::Open {
                    self.script("ROLLBACK TO SAVEPOINT step")?;
                }
                Ok(Vec::new())
            }
            other => other.map_err(|error| self.server.sort(&error)),
        }
    }

    fn query(&mut self, statement: &str, parameters: &[Option<&str>]) -> Result<Vec<Row>, postgres::Error> {
        let bound: Vec<(&(dyn ToSql + Sync), Type)> =
            parameters.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)).collect();
        self.client.query_typed(statement, &bound)
    }

    fn row(&mut self, statement: &str, parameters: &[Option<&str>]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement, parameters)?.into_iter().next())
    }

    /// The text in a column of `row`.
    fn text(&self, row: &Row, column: usize) -> Result<Option<String>, StoreError> {
        row.try_get(column).map_err(|error| self.server.sort(&error))
    }

    fn entry(&self, layout: &Layout, row: &Row) -> Result<RecordView, StoreError> {
        let object = |column: usize| -> Result<Map<String, Value>, StoreError> {
            Ok(self.text(row, column)?.map(|text| json_object(&text)).unwrap_or_default())
        };
        let seconds = self.text(row, 2)?.and_then(|text| text.parse::<f64>().ok());
        Ok(entry(&layout.columns, object(0)?, &object(1)?, seconds))
    }
}

impl Store for PostgresStore {
    fn rehearse(&mut self) {
        self.rehearsal = Rehearsal::Announced;
    }

    fn migrate(&mut self) -> Result<usize, StoreError> {
        self.layout = None;
        self.make_tables()
    }

    fn begin(&mut self, run: &Run, known: Option<&Begun>) -> Result<Begun, StoreError> {
        self.transaction(|session, layout| begin::begin(session, layout, run, known))
    }

    fn apply(&mut self, run_id: RunId, change: &Change) -> Result<Applied, StoreError> {
        let statement = match change {
            Change::Begin(run) => return self.begin(run, None).map(|_begun| Applied::Written),
            Change::Heartbeat(_) => sql::HEARTBEAT,
            Change::Finalize(..) => sql::FINALIZE,
            Change::Presume(_) => sql::PRESUME,
        };
        self.transaction(|session, layout| {
            let given = change_json(change, &layout.columns);
            let run_id = run_id.to_string();
            session.row(&layout.words.fill(sql::LOCK_RUN), &[Some(&run_id)])?;
            let row = session.row(&layout.words.fill(statement), &[Some(&run_id), Some(&given)])?;
            if matches!(change, Change::Finalize(..)) {
                failpoint::reached("committing");
            }
            let word = row.map(|row| session.text(&row, 0)).transpose()?.flatten();
            Ok(match word.as_deref() {
                Some("written") => Applied::Written,
                Some("kept") => Applied::Kept,
                Some(_) | None => Applied::Missing,
            })
        })
    }

    fn decide(&mut self, record_id: &RecordId, decision: &Decision) -> Result<Decided, StoreError> {
        self.transaction(|session, layout| decide::decide(session, layout, record_id, decision))
    }

    fn overdue(&mut self) -> Result<Vec<RunId>, StoreError> {
        self.transaction(|session, layout| {
            let rows = session.rows(&layout.words.fill(sql::OVERDUE), &[])?;
            let ids = rows.iter().map(|row| session.text(row, 0)).collect::<Result<Vec<_>, _>>()?;
            Ok(ids.into_iter().flatten().filter_map(|id| id.parse().ok().map(RunId)).collect())
        })
    }

    fn stuck(&mut self, silent_seconds: u32) -> Result<Vec<Suspect>, StoreError> {
        self.transaction(|session, layout| {
            let rows = session.rows(&layout.words.fill(sql::STUCK), &[Some(&silent_seconds.to_string())])?;
            let suspect = |row: &Row| -> Result<Suspect, StoreError> {
                let record_id = RecordId(session.text(row, 0)?.unwrap_or_default());
                Ok(Suspect { record_id, model_path: session.text(row, 1)? })
            };
            rows.iter().map(suspect).collect()
        })
    }

    fn examine(&mut self, scope: Scope, after: Option<&RecordId>, limit: u32) -> Result<Page, StoreError> {
        self.transaction(|session, layout| {
            let statement = layout.words.flagged(&flags(scope, after)).fill(sql::EXAMINE);
            let (after, limit) = (after.map(|id| id.0.as_str()), limit.to_string());
            let rows = session.rows(&statement, &[after, Some(&limit)])?;
            let values = |row: &Row| -> Result<Vec<Value>, StoreError> {
                let cells = (0..row.len()).map(|at| Ok(session.text(row, at)?.map_or(Value::Null, Value::String)));
                let mut values = cells.collect::<Result<Vec<_>, StoreError>>()?;
                if let Some(id) = values.get_mut(2) {
                    *id = id.as_str().and_then(|id| serde_json::from_str(id).ok()).unwrap_or_default();
                }
                Ok(values)
            };
            Ok(page(&layout.columns, &rows.iter().map(values).collect::<Result<Vec<_>, _>>()?))
        })
    }

    fn estimate(&mut self) -> Result<Option<u64>, StoreError> {
        self.transaction(|session, layout| {
            let row = session.row(sql::ESTIMATE, &[Some(&layout.table)])?;
            let number = row.map(|row| session.text(&row, 0)).transpose()?.flatten();
            Ok(number.and_then(|number| number.parse().ok()))
        })
    }

    fn list(&mut self, filter: &Filter) -> Result<Vec<RecordView>, StoreError> {
        self.transaction(|session, layout| {
            let status = filter.status.map(crate::record::Status::as_str);
            let name = filter.name.as_deref().map(without_nul);
            let limit = filter.limit.to_string();
            let statement = layout.words.flagged(&filter.flags(&layout.words)).fill(sql::LIST);
            let rows = session.rows(&statement, &[status, name.as_deref(), Some(&limit)])?;
            rows.iter().map(|row| session.entry(layout, row)).collect()
        })
    }

    fn show(&mut self, id: &str) -> Result<Option<RecordView>, StoreError> {
        let id = without_nul(id);
        if uuid::Uuid::try_parse(&id).is_ok() {
            let found = self.transaction(|session, layout| {
                let row = session.row(&layout.words.fill(sql::SHOW_RUN), &[Some(&id)])?;
                row.map(|row| session.entry(layout, &row)).transpose()
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        self.transaction(|session, layout| {
            let rows = session.rows_by_id(&layout.words.fill(sql::SHOW_RECORD), &[Some(&id)])?;
            rows.first().map(|row| session.entry(layout, row)).transpose()
        })
    }
}
