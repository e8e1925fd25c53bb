//! One transaction: its beginning, with the tables as they are; its end; and the statements in between. Owns the rehearsal; knows no
//! rule.

use std::sync::Arc;

use serde_json::Value;

use super::locked_run::{LockedRun, RunToLock, clock_of};
use super::record_row::{self, RULE_COLUMNS, RecordRow};
use super::reduction::Reduction;
use super::run_row::{self, RunRow};
use super::session::{Access, COMMIT, Class, Failure, NEEDED_MIGRATION, Rows, Session, Texts};
use super::shape::{Migrations, Shape};
use super::statement::{fill, section};
use super::{Store, StoreError};
use crate::record::{DatabaseClock, RecordId};

/// Whether each transaction stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nesting {
    None,
    /// The next transaction begins a rehearsal.
    Announced,
    /// Within a rehearsal: each transaction is a savepoint in it.
    Rehearsal,
    /// Within an outer transaction: each further one is a savepoint in it.
    Open,
}

/// The statements of one transaction.
pub(super) struct Transaction<'a> {
    pub(super) session: &'a mut dyn Session,
    pub(super) shape: &'a Shape,
    pub(super) reduction: Reduction,
}

impl Store {
    /// Runs `work` in a transaction that begins by locking the run, if one is named. Missing tables are made before. If the tables are
    /// not as the cache has them, they are read again, once.
    pub(super) fn transaction<T>(
        &mut self,
        access: Access,
        run: Option<RunToLock<'_>>,
        mut work: impl FnMut(&mut Transaction<'_>, Option<LockedRun>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut cached = self.options.cache.shape();
        loop {
            let begun = self.begin_transaction(access, run, cached.clone());
            let result = begun.and_then(|(shape, locked)| {
                let reduction = self.reduction;
                work(&mut Transaction { session: self.session.as_mut(), shape: &shape, reduction }, locked)
            });
            let ended = self.end_transaction(result);
            match ended {
                Err(Failure { class: Class::Schema | Class::BadValue | Class::BadText | Class::Refused, .. })
                    if cached.take().is_some() =>
                {
                    self.options.cache.set_shape(None);
                }
                other => return other,
            }
        }
    }

    /// Runs a transaction that only reads; without the user's table it finds nothing.
    pub(super) fn read<T: Default>(
        &mut self,
        mut work: impl FnMut(&mut Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        match self.transaction(Access::Read, None, |transaction, _none| work(transaction)) {
            Err(Failure { class: Class::NoTable | Class::Empty | Class::NoSuchId, .. }) => Ok(T::default()),
            other => Ok(other?),
        }
    }

    /// Runs `work` as one transaction, durable together: a run that is delivered whole costs one commit. `begins`: the run has
    /// not begun in this database before.
    ///
    /// # Errors
    /// The first error of `work`, after which the transaction is rolled back.
    pub fn together<T>(
        &mut self,
        begins: bool,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.nesting != Nesting::None {
            return work(self);
        }
        self.session.begin(if begins { Access::Begin } else { Access::Write }, &[])?;
        self.nesting = Nesting::Open;
        let result = work(self);
        self.nesting = Nesting::None;
        if result.is_err() {
            self.options.cache.set_shape(None);
        }
        Ok(self.end_transaction(result.map_err(Failure::from))?)
    }

    /// Begins a transaction. On an error it may be open: the caller ends it.
    fn begin_transaction(
        &mut self,
        access: Access,
        run: Option<RunToLock<'_>>,
        cached: Option<Arc<Shape>>,
    ) -> Result<(Arc<Shape>, Option<LockedRun>), Failure> {
        let is_known = cached.is_some();
        let shape = cached.map_or_else(|| self.begin_and_read(access, run.is_some()), Ok)?;
        let Some(run) = run else {
            if is_known {
                self.begin_with(access, &[])?;
            }
            return Ok((shape, None));
        };
        let reduction = self.reduction;
        let transaction = Transaction { session: self.session.as_mut(), shape: &shape, reduction };
        // At the second try no more: if the database cannot read that row, the run may have another one.
        let record_id = run.record_id.filter(|id| is_known && transaction.holds(id));
        let (names, read) = transaction.reading(&RULE_COLUMNS);
        let timeline = if run.needs_timeline { "TRUE" } else { "FALSE" };
        let lists = [("{columns}", run_row::rules_list()), ("{needs_timeline}", timeline.to_owned())];
        let lock = transaction.sql("lock_run", &lists.each_ref().map(|(token, list)| (*token, list.as_str())));
        // In this order: under READ COMMITTED the second statement sees what the holder of the lock has committed.
        let texts = [Some(run.run_id), record_id];
        let statements = [(lock.as_str(), &texts[..1]), (read.as_str(), &texts[1..])];
        let first = &statements[..=usize::from(record_id.is_some())];
        let rows = if is_known { self.begin_with(access, first)? } else { self.session.batch(first)? };
        Ok((shape, LockedRun::new(self.session.name(), run, rows, names)?))
    }

    /// Begins a transaction in which the tables are ready. After its begin a run makes none: it would hinder a restore.
    fn begin_and_read(&mut self, access: Access, is_of_run: bool) -> Result<Arc<Shape>, Failure> {
        let mut shape = self.read_shape(Some(access))?;
        shape.require()?;
        let is_empty = shape.migrations == Migrations::Missing;
        if access != Access::Begin && (!shape.has_table() || (is_of_run && is_empty)) {
            let table = if shape.has_table() { "runwrap_runs" } else { &shape.table };
            let message = format!(
                "{}: table {table} is missing: it was renamed or dropped; `runwrap migrate` makes a new one",
                self.session.name()
            );
            let class = if is_empty { Class::Empty } else { Class::NoTable };
            return Err(Failure { class, error: StoreError::Transient { message } });
        }
        let (mut is_ready, is_complete) = self.is_ready(&shape)?;
        if !is_complete && self.options.migrate {
            // A transaction of its own: the tables stay if `work` is refused. In a rehearsal, a savepoint of its own.
            self.end_transaction(Ok(()))?;
            let in_use = !self.session.rows(section(self.session.dialect(), "in_use"), &[])?.is_empty();
            // Of many processes at once only the first one makes it.
            let made = match self.make_tables() {
                // A record does without the missing tables, and a person must make them.
                Err(Failure { error: error @ StoreError::Permanent { .. }, .. }) if is_ready => {
                    log::info!(event = "not_migrated", error:%; "the newest tables are missing: {error}");
                    0
                }
                made => made?,
            };
            if made > 0 && !shape.has_table() && self.nesting != Nesting::Rehearsal {
                let message = format!("made table {} in {}", shape.table, self.session.name());
                let level = if in_use { log::Level::Warn } else { log::Level::Info };
                log::log!(level, event = "table_made"; "{message}");
                self.notice = Some(message).filter(|_| in_use);
            }
            shape = self.read_shape(Some(access))?;
            shape.require()?;
            (is_ready, _) = self.is_ready(&shape)?;
        }
        if !is_ready {
            return Err(super::not_migrated(self.session.name()).into());
        }
        let shape = Arc::new(shape);
        self.options.cache.set_shape(Some(Arc::clone(&shape)));
        Ok(shape)
    }

    /// Reads the tables: within a transaction, or in the statement that begins one.
    pub(super) fn read_shape(&mut self, begins: Option<Access>) -> Result<Shape, Failure> {
        let dialect = self.session.dialect();
        let texts = (dialect.catalog_texts)(&self.table);
        let texts = texts.each_ref().map(Option::as_deref);
        let catalog = [(section(dialect, "catalog_columns"), &texts[..1]), (section(dialect, "catalog"), &texts[..])];
        let mut rows = match begins {
            Some(access) => self.begin_with(access, &catalog),
            None => self.session.batch(&catalog),
        }?;
        let place = rows.pop();
        let mut rows: Rows = rows.into_iter().filter_map(dialect.catalog_column).chain(place).collect();
        if Shape::may_have_domains(&rows) {
            let domains = self.session.rows(section(dialect, "domains"), &texts[..1])?;
            Shape::resolve(&mut rows, &domains);
        }
        Ok(Shape::new(dialect, &self.table, &rows)?)
    }

    /// Whether a run can be recorded without making anything first, and whether nothing is missing.
    fn is_ready(&mut self, shape: &Shape) -> Result<(bool, bool), Failure> {
        if !shape.has_table() || !shape.has_versions {
            return Ok((false, false));
        }
        let migrated = self.migrated(shape)?;
        let reaches = |least: u32| migrated.is_none_or(|number| number >= least);
        Ok((reaches(NEEDED_MIGRATION), reaches(self.session.dialect().newest_migration())))
    }

    /// The last migration; `None` if the role may not read it.
    pub(super) fn migrated(&mut self, shape: &Shape) -> Result<Option<u32>, Failure> {
        match shape.migrations {
            Migrations::Missing => return Ok(Some(0)),
            // Only the owner can have revoked the right, and migrations are never applied half.
            Migrations::Unreadable => return Ok(None),
            Migrations::Readable => {}
        }
        self.last_migration(&shape.schema).map(Some)
    }

    /// Begins a transaction, or within an outer one a savepoint, with its first statements.
    pub(super) fn begin_with(&mut self, access: Access, first: &[(&str, Texts<'_>)]) -> Result<Rows, Failure> {
        if self.nesting == Nesting::None {
            return self.session.begin(access, first);
        }
        if self.nesting == Nesting::Announced {
            self.session.begin(Access::Rehearse, &[])?;
            self.nesting = Nesting::Rehearsal;
        }
        self.session.script("SAVEPOINT step")?;
        self.session.batch(first)
    }

    /// Commits a success, and rolls a failure back.
    pub(super) fn end_transaction<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        let (commit, roll_back) = match self.nesting {
            Nesting::None => (COMMIT, "ROLLBACK"),
            Nesting::Announced | Nesting::Rehearsal | Nesting::Open => {
                ("RELEASE SAVEPOINT step", "ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step")
            }
        };
        let ended = result.and_then(|value| self.session.script(commit).map(|()| value));
        if ended.is_err() {
            self.session.forget_deferred();
            // The first error is the cause. A connection that cannot roll back is rolled back by its end.
            if let Err(Failure { error, .. }) = self.session.script(roll_back) {
                log::debug!(event = "rollback_failed", error:%; "");
            }
        }
        ended
    }
}

/// The section `name` for the tables of `shape`, with its lists.
pub(super) fn sql(session: &dyn Session, shape: &Shape, name: &str, lists: &[(&str, &str)]) -> String {
    let tables = [("{table}", shape.table.as_str()), ("{schema}", shape.schema.as_str())];
    fill(section(session.dialect(), name), &[lists, &tables].concat())
}

impl Transaction<'_> {
    /// The section `name` with its lists.
    pub(super) fn sql(&self, name: &str, lists: &[(&str, &str)]) -> String {
        sql(self.session, self.shape, name, lists)
    }

    pub(super) fn rows(&mut self, statement: &str, texts: Texts<'_>) -> Result<Rows, Failure> {
        self.session.rows(statement, texts)
    }

    /// The first column of the first row.
    pub(super) fn text(&mut self, statement: &str, texts: Texts<'_>) -> Result<Option<String>, Failure> {
        Ok(self.rows(statement, texts)?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// The first column of the first row, as a number.
    pub(super) fn number(&mut self, statement: &str, texts: Texts<'_>) -> Result<Option<u64>, Failure> {
        Ok(self.text(statement, texts)?.and_then(|number| number.parse().ok()))
    }

    /// Waits until no other transaction has locked `text`, and locks it until the end of this one.
    pub(super) fn lock(&mut self, text: &str) -> Result<(), Failure> {
        let lock = self.sql("lock_text", &[]);
        self.rows(&lock, &[Some(text)]).map(drop)
    }

    /// The same for the record `id`, whether a run describes it or not.
    pub(super) fn lock_record(&mut self, id: &str) -> Result<(), Failure> {
        self.lock(&format!("runwrap record {} {id}", self.shape.table))
    }

    pub(super) fn clock(&mut self) -> Result<DatabaseClock, Failure> {
        let clock = self.sql("clock", &[]);
        let rows = self.rows(&clock, &[])?;
        clock_of(self.session.name(), rows.first().map_or(&[], Vec::as_slice))
    }

    /// Reads `names`, as far as the table has them, of the user's row, without a lock.
    pub(super) fn read_columns(&mut self, id: &str, names: &[&'static str]) -> Result<Option<RecordRow>, Failure> {
        if !self.holds(id) {
            return Ok(None);
        }
        let (names, read) = self.reading(names);
        let rows = self.rows(&read, &[Some(id)])?;
        Ok(rows.into_iter().next().map(|texts| RecordRow::read(names, texts)))
    }

    /// Those of `names` that the table has, and the statement that reads them.
    fn reading(&self, names: &[&'static str]) -> (Vec<&'static str>, String) {
        let (names, reads) = record_row::reads(self.session.dialect(), &self.shape.columns, names);
        let selected = std::iter::once("CAST(id AS text)".to_owned()).chain(reads);
        (names, self.sql("read_record", &[("{columns}", &super::statement::list(selected))]))
    }

    /// Whether the id column can hold `id`: a table that was made again may have ids of another type.
    pub(super) fn holds(&self, id: &str) -> bool {
        self.shape.columns.get("id").is_some_and(|column| (self.session.dialect().holds_id)(column, id))
    }

    /// The ids that the id column can hold. Any other aborts the statement.
    pub(super) fn held(&self, ids: &[String]) -> Vec<String> {
        ids.iter().filter(|id| self.holds(id)).cloned().collect()
    }

    /// The id of a row as the database writes it, for an id that a person typed.
    pub(super) fn find(&mut self, typed: &RecordId) -> Result<Option<String>, Failure> {
        let find = self.sql("read_record", &[("{columns}", "CAST(id AS text)")]);
        if !self.holds(&typed.0) {
            return Ok(None);
        }
        let typed = super::shape::without_nul(&typed.0);
        match self.text(&find, &[Some(&typed)]) {
            // The type of the column cannot hold it. The transaction can only be rolled back.
            Err(Failure { class: Class::BadValue | Class::BadText, error }) => {
                Err(Failure { class: Class::NoSuchId, error })
            }
            other => other,
        }
    }

    /// Every run that describes one of the records, the newest last.
    pub(super) fn runs_of(&mut self, ids: &[String]) -> Result<Vec<RunRow>, Failure> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let places = super::statement::places(2, ids.len());
        let runs = self.sql("runs_by_record", &[("{columns}", &run_row::select_list()), ("{values}", &places)]);
        let texts = [&self.shape.record_table].into_iter().chain(ids);
        let texts: Vec<Option<&str>> = texts.map(|text| Some(text.as_str())).collect();
        Ok(run_row::runs(self.rows(&runs, &texts)?))
    }

    pub(super) fn values(&mut self, statement: &str, texts: Texts<'_>) -> Result<Vec<Vec<Value>>, Failure> {
        self.session.values(statement, texts)
    }
}
