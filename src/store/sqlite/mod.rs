//! The session with an SQLite file. Every write is one `BEGIN IMMEDIATE` transaction: a deferred one that turns into a writer is
//! refused despite the timeout. Owns the conversion of values; knows no rule.

mod connect;
mod errors;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Statement};
use serde_json::{Value, json};

use self::connect::FileId;
use self::errors::{class, sort};
use super::StoreError;
use super::session::{
    Access, BINARY_BYTES_MAX, COMMIT, Class, Column, Dialect, Failure, LONG_COLUMNS, Migration, Rows, SERIES_WAIT_MAX,
    Session, TOO_LONG, Texts, VALUE_BYTES_MAX,
};
use super::statement::Statements;
use super::table::{TableName, quote};

static STATEMENTS: Statements = Statements::of(&[
    include_str!("../../../sql/sqlite/transaction.sql"),
    include_str!("../../../sql/sqlite/change.sql"),
    include_str!("../../../sql/sqlite/read.sql"),
    include_str!("../../../sql/sqlite/migrate.sql"),
    include_str!("../../../sql/sqlite/series.sql"),
    include_str!("../../../sql/sqlite/fitness.sql"),
    include_str!("../../../sql/sqlite/doctor.sql"),
]);

pub(super) const DIALECT: Dialect = Dialect {
    sections: || STATEMENTS.sections(),
    migrations: &[
        migration(1, true, include_str!("../../../sql/sqlite/0001_runs.sql")),
        migration(2, false, include_str!("../../../sql/sqlite/0002_decided.sql")),
        migration(3, false, include_str!("../../../sql/sqlite/0003_scale.sql")),
        migration(4, true, include_str!("../../../sql/sqlite/0004_versions.sql")),
        migration(5, false, include_str!("../../../sql/sqlite/0005_timeline.sql")),
        migration(6, false, include_str!("../../../sql/sqlite/0006_origin.sql")),
        migration(7, false, include_str!("../../../sql/sqlite/0007_circumstances.sql")),
        migration(8, false, include_str!("../../../sql/sqlite/0008_series.sql")),
        migration(9, false, include_str!("../../../sql/sqlite/0009_notified.sql")),
    ],
    begin_script: "BEGIN IMMEDIATE",
    reuses_ids: true,
    is_exclusive: true,
    enforces_lengths: false,
    catalog_texts: |table| [Some(table.name.clone()), None],
    // A column of any type compares with any text.
    holds_id: |_, _| true,
    place: |table, _| (quote(&table.name), "main".to_owned()),
    catalog_column: Some,
    base_type,
    as_text,
    read,
    shown,
    // Statistics say that a third of the rows have a status; few are in training, and a list has a limit.
    has_status: "likelihood(status = {}, 0.0001)",
    has_name: "name = {}",
    has_name_like: "name GLOB {}",
    pattern: glob_pattern,
    has_tag: "EXISTS (SELECT 1 FROM json_each(tags) AS tag WHERE tag.key = {})",
    has_tag_value: "EXISTS (SELECT 1 FROM json_each(tags) AS tag WHERE tag.key = {} AND tag.value = {})",
    // As SQLAlchemy writes an instant, and SQLite's own date functions read it.
    instant: |instant| instant.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
};

const fn migration(number: u32, is_breaking: bool, statements: &'static str) -> Migration {
    Migration { number, is_breaking, statements }
}

/// A column that is read. A name in double quotes would be a text if there is no such column any more.
fn column_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// For GLOB.
fn glob_pattern(name: &str) -> String {
    let escaped = name.chars().map(|character| match character {
        '?' | '[' => format!("[{character}]"),
        _ => character.to_string(),
    });
    escaped.collect()
}

fn as_text(column: &Column) -> String {
    format!("CAST({} AS TEXT)", column_name(&column.name))
}

fn read(column: &Column) -> String {
    let (name, text) = (column_name(&column.name), as_text(column));
    if !LONG_COLUMNS.contains(&column.name.as_str()) {
        return text;
    }
    format!(
        "CASE WHEN octet_length({name}) > {VALUE_BYTES_MAX} THEN octet_length({name}) || '{TOO_LONG}' ELSE {text} END"
    )
}

/// Any column may hold a value of any type. SQLite finds type and size without reading the value.
fn shown(column: &Column) -> String {
    let name = column_name(&column.name);
    format!(
        "CASE WHEN typeof({name}) = 'blob' AND octet_length({name}) > {BINARY_BYTES_MAX} \
         THEN octet_length({name}) || ' bytes of binary data' \
         WHEN octet_length({name}) > {VALUE_BYTES_MAX} THEN octet_length({name}) || ' bytes, too long to show' \
         ELSE {name} END"
    )
}

/// `VARCHAR(36)` is `varchar` and 36.
fn base_type(declared: &str, _length: Option<&str>) -> (String, Option<usize>) {
    let (base, rest) = declared.split_once('(').unwrap_or((declared, ""));
    let length = rest.split_once(')').and_then(|(length, _)| length.trim().parse().ok());
    (base.trim().to_ascii_lowercase(), length)
}

/// A schema is a database attached to a connection, and runwrap attaches none.
pub(super) fn table_name(typed: &str) -> Result<TableName, StoreError> {
    let table = TableName::parse(typed)?;
    match table.schema.as_deref() {
        None | Some("main") => Ok(TableName { schema: None, ..table }),
        Some(schema) => Err(StoreError::BadInput {
            message: format!("--table {typed}: SQLite has no schema {schema:?}"),
            hint: "leave the schema out".into(),
        }),
    }
}

/// One connection.
pub(super) struct SqliteSession {
    /// The connection and its file; `None` until the first transaction of a file that is missing.
    opened: Option<(Connection, FileId)>,
    path: PathBuf,
    name: String,
    busy_timeout: Duration,
    /// The connection was used before: files may have changed since.
    is_used: bool,
}

impl SqliteSession {
    /// Opens the file at `path`. A missing one is made by the first transaction that may make it.
    pub(super) fn open(path: &Path, busy_timeout: Duration) -> Result<Self, StoreError> {
        let opened = path.exists().then(|| connect::connect(path, busy_timeout, false)).transpose()?;
        Ok(Self {
            opened,
            path: path.to_owned(),
            name: format!("sqlite:{}", path.display()),
            busy_timeout,
            is_used: false,
        })
    }

    fn connection(&self) -> Result<&Connection, Failure> {
        let missing = || Failure { class: Class::Empty, error: connect::missing(&self.path) };
        self.opened.as_ref().map(|(connection, _)| connection).ok_or_else(missing)
    }

    /// A file that another process has replaced or removed must not take a change: no reader would find it. The attempt is repeated
    /// with the file that is at the path then.
    fn check_file(&self, begins: bool) -> Result<(), Failure> {
        let is_at_path = self.opened.as_ref().is_some_and(|(_, opened)| FileId::at(&self.path) == Some(*opened));
        let is_replaced = !is_at_path || (self.is_used && begins && connect::log_is_removed(&self.path));
        if !is_replaced {
            return Ok(());
        }
        if let Some((connection, _)) = &self.opened {
            // Closing must not write the pages of the removed log into a restored file.
            connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map_err(|error| self.failure(&error))?;
        }
        let message = format!("{}: the file was replaced or removed while it was open", self.name);
        Err(StoreError::Transient { message }.into())
    }

    fn failure(&self, error: &rusqlite::Error) -> Failure {
        Failure { class: class(error), error: sort(&self.path, error) }
    }

    /// The rows of a statement, each column converted.
    fn query<T>(
        &self,
        statement: &str,
        texts: Texts<'_>,
        convert: fn(ValueRef<'_>) -> T,
    ) -> Result<Vec<Vec<T>>, Failure> {
        let connection = self.connection()?;
        let work = || {
            let mut prepared = connection.prepare(statement)?;
            bind(&mut prepared, texts)?;
            let width = prepared.column_count();
            let mut found = Vec::new();
            let mut rows = prepared.raw_query();
            while let Some(row) = rows.next()? {
                found.push((0..width).map(|at| row.get_ref(at).map(convert)).collect::<rusqlite::Result<Vec<_>>>()?);
            }
            drop(rows);
            count_steps(&prepared);
            Ok(found)
        };
        work().map_err(|error| self.failure(&error))
    }
}

impl Session for SqliteSession {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&mut self, access: Access, first: &[(&str, Texts<'_>)]) -> Result<Rows, Failure> {
        if self.opened.is_none() {
            let create = access == Access::Begin;
            let opened = connect::connect(&self.path, self.busy_timeout, create);
            // Without a file there is nothing to read.
            let is_empty = matches!(access, Access::Read | Access::Rehearse) && !self.path.exists();
            let class = if is_empty { Class::Empty } else { Class::Other };
            self.opened = Some(opened.map_err(|error| Failure { class, error })?);
        }
        self.check_file(true)?;
        self.is_used = true;
        let busy_timeout = if access == Access::Series { SERIES_WAIT_MAX } else { self.busy_timeout };
        self.connection()?.busy_timeout(busy_timeout).map_err(|error| self.failure(&error))?;
        self.script(match access {
            Access::Read => "BEGIN",
            Access::Write | Access::Begin | Access::Series | Access::Renew | Access::Rehearse => "BEGIN IMMEDIATE",
        })?;
        let rows = self.batch(first)?;
        if access == Access::Renew {
            self.script(COMMIT)?;
        }
        Ok(rows)
    }

    fn script(&mut self, statements: &str) -> Result<(), Failure> {
        self.connection()?.execute_batch(statements).map_err(|error| self.failure(&error))?;
        if statements == COMMIT { self.check_file(false) } else { Ok(()) }
    }

    fn batch(&mut self, statements: &[(&str, Texts<'_>)]) -> Result<Rows, Failure> {
        let rows = statements.iter().map(|(statement, texts)| self.rows(statement, texts));
        Ok(rows.collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn rows(&mut self, statement: &str, texts: Texts<'_>) -> Result<Rows, Failure> {
        self.query(statement, texts, text)
    }

    fn values(&mut self, statement: &str, texts: Texts<'_>) -> Result<Vec<Vec<Value>>, Failure> {
        self.query(statement, texts, json_value)
    }

    fn execute(&mut self, statement: &str, texts: Texts<'_>) -> Result<u64, Failure> {
        let connection = self.connection()?;
        let work = || {
            let mut prepared = connection.prepare(statement)?;
            bind(&mut prepared, texts)?;
            let changed = prepared.raw_execute()?;
            count_steps(&prepared);
            Ok(u64::try_from(changed).unwrap_or(u64::MAX))
        };
        work().map_err(|error| self.failure(&error))
    }
}

/// Binds `$n` to the text of that number. A column's affinity converts it.
fn bind(prepared: &mut Statement<'_>, texts: Texts<'_>) -> rusqlite::Result<()> {
    for at in 1..=prepared.parameter_count() {
        let number = prepared.parameter_name(at).and_then(|name| name.trim_start_matches('$').parse::<usize>().ok());
        let text = number.and_then(|number| texts.get(number.checked_sub(1)?).copied()).flatten();
        prepared.raw_bind_parameter(at, text)?;
    }
    Ok(())
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
    }
}

fn json_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) | ValueRef::Blob(text) => json!(String::from_utf8_lossy(text)),
    }
}

#[cfg(test)]
thread_local! {
    /// The steps of SQLite's virtual machine for the statements of this thread.
    pub(super) static STEPS: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn count_steps(prepared: &Statement<'_>) {
    let steps = prepared.get_status(rusqlite::StatementStatus::VmStep);
    STEPS.set(STEPS.get() + i64::from(steps));
}

#[cfg(not(test))]
const fn count_steps(_: &Statement<'_>) {}
