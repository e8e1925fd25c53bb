//! runwrap's tables in SQLite: whether they are there, what the user's looks like, and how they come to be. Owns the
//! list of migrations. Must be called within a transaction; `make` within an immediate one. Called by the store.

use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::errors::sort;
use super::rows::{facts, query};
use crate::record::AHEAD_SECONDS_MAX;
use crate::store::columns::{COUNTED_ROWS, Column, Columns};
use crate::store::table::{TableName, literal};
use crate::store::template::Words;
use crate::store::{StoreError, too_new};

const CATALOG: &str = include_str!("../../../sql/sqlite/catalog.sql");
const MIGRATED: &str = include_str!("../../../sql/sqlite/migrated.sql");
const MIGRATE_RECORD: &str = include_str!("../../../sql/sqlite/migrate_record.sql");
const TRAINING_RECORDS: &str = include_str!("../../../sql/sqlite/training_records.sql");

/// A number, whether a program that does not know it must stop, and the statements.
const MIGRATIONS: [(u32, bool, &str); 3] = [
    (1, true, include_str!("../../../sql/sqlite/0001_runs.sql")),
    (2, false, include_str!("../../../sql/sqlite/0002_decided.sql")),
    (3, false, include_str!("../../../sql/sqlite/0003_scale.sql")),
];

/// The tables as they are.
pub(super) struct Layout {
    pub(super) columns: Columns,
    pub(super) words: Words,
    /// The user's table, for messages.
    pub(super) table: String,
    migrated: u32,
}

impl Layout {
    /// Whether a run can be recorded without making anything first.
    pub(super) fn is_ready(&self) -> bool {
        !self.columns.0.is_empty() && self.migrated >= newest()
    }
}

/// A schema is a database attached to a connection here, and runwrap attaches none.
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

/// A number that changes with every table.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    connection.query_row("PRAGMA schema_version", [], |row| row.get(0)).map_err(|error| sort(path, &error))
}

/// Looks, and changes nothing.
pub(super) fn read(connection: &Connection, path: &Path, table: &TableName) -> Result<Layout, StoreError> {
    let columns = columns(connection, path, &table.name)?;
    let migrations_exist = !self::columns(connection, path, "runwrap_migrations")?.0.is_empty();
    let migrated = if migrations_exist { migrated(connection, path, table)? } else { 0 };
    if !columns.0.is_empty() {
        columns.require(&table.quoted())?;
    }
    Ok(Layout { words: words(table, &columns), columns, table: table.quoted(), migrated })
}

/// Makes what is missing. Returns how many migrations that took.
pub(super) fn make(connection: &Connection, path: &Path, table: &TableName) -> Result<usize, StoreError> {
    let sorted = |error: rusqlite::Error| sort(path, &error);
    let layout = read(connection, path, table)?;
    let mut applied = 0;
    for (number, breaking, statements) in MIGRATIONS.into_iter().filter(|(number, ..)| *number > layout.migrated) {
        connection.execute_batch(&layout.words.fill(statements)).map_err(sorted)?;
        connection.execute_batch(&record_of(&layout.words, number, breaking)).map_err(sorted)?;
        applied += 1;
    }
    if layout.columns.0.is_empty() {
        connection.execute_batch(&layout.words.fill(TRAINING_RECORDS)).map_err(sorted)?;
        applied += usize::from(applied == 0);
    }
    Ok(applied)
}

/// Everything that `make` does to an empty database.
pub(in crate::store) fn migrations_sql(table: &TableName) -> String {
    let words = names(table);
    let mut script = String::from("BEGIN IMMEDIATE;\n\n");
    for (number, breaking, statements) in MIGRATIONS {
        let made = words.fill("{migrations}");
        let note = format!("-- Migration {number}. What {} names already is not to be done again.\n", made.trim_end());
        script.push_str(&note);
        script.push_str(&words.fill(statements));
        script.push_str(&record_of(&words, number, breaking));
        script.push('\n');
    }
    script + &words.fill(TRAINING_RECORDS) + "\nCOMMIT;\n"
}

fn columns(connection: &Connection, path: &Path, table: &str) -> Result<Columns, StoreError> {
    let rows = query(connection, CATALOG, &facts([("table", json!(table))])).map_err(|error| sort(path, &error))?;
    let column = |row: Vec<Value>| {
        let text = |at: usize| row.get(at).and_then(Value::as_str).unwrap_or_default();
        let (base, length) = split_type(text(1));
        // SQLite does not keep to a declared length. Only an id tells by it in which form a uuid is meant.
        let length = length.filter(|_| text(0) == "id");
        let has_default = row.get(2).and_then(Value::as_i64) != Some(0);
        let computed = row.get(3).and_then(Value::as_i64) == Some(1);
        Column { name: text(0).to_owned(), type_name: base.clone(), base_type: base, length, has_default, computed }
    };
    Ok(Columns(rows.into_iter().map(column).collect()))
}

/// `VARCHAR(36)` is `varchar` and 36.
fn split_type(declared: &str) -> (String, Option<usize>) {
    let (base, rest) = declared.split_once('(').unwrap_or((declared, ""));
    let length = rest.split_once(')').and_then(|(length, _)| length.trim().parse().ok());
    (base.trim().to_ascii_lowercase(), length)
}

fn migrated(connection: &Connection, path: &Path, table: &TableName) -> Result<u32, StoreError> {
    let rows = query(connection, &names(table).fill(MIGRATED), &facts([])).map_err(|error| sort(path, &error))?;
    let number = |at: usize| {
        let value = rows.first().and_then(|row| row.get(at)).and_then(Value::as_u64);
        value.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
    };
    let (last, breaking) = (number(0), number(1));
    if breaking > newest() {
        return Err(too_new(&format!("sqlite:{}", path.display()), breaking, newest()));
    }
    Ok(last)
}

fn names(table: &TableName) -> Words {
    Words::default()
        .with("table", table.quoted())
        .with("runs", "runwrap_runs".into())
        .with("migrations", "runwrap_migrations".into())
        .with("record_table", literal(&table.name))
        .with("ahead_seconds", AHEAD_SECONDS_MAX.to_string())
        .with("counted_rows", COUNTED_ROWS.to_string())
}

fn words(table: &TableName, columns: &Columns) -> Words {
    let mut words = names(table);
    words.flags.extend(columns.flags());
    for name in ["train_start_time", "train_end_time", "created_at", "updated_at"] {
        let known = columns.has(name);
        let instant = if known { format!("runwrap_instant(record.{name})") } else { "NULL".to_owned() };
        words.tokens.insert(format!("{name}.instant"), instant);
    }
    if !words.flags.contains("id.integer") && columns.has("train_start_time") {
        words.flags.insert("id.unordered".into());
    }
    words
}

fn record_of(words: &Words, number: u32, breaking: bool) -> String {
    words.with("number", number.to_string()).with("breaking", breaking.to_string()).fill(MIGRATE_RECORD)
}

fn newest() -> u32 {
    MIGRATIONS.iter().map(|(number, ..)| *number).max().unwrap_or(0)
}
