//! runwrap's tables in PostgreSQL: whether they are there, and how they come to be. Owns the list of migrations.
//! Must take no lock and need no right where everything is there already. Called by the store before its first statement.

use super::Session;
use super::catalog::{Catalog, Layout, names};
use crate::store::StoreError;
use crate::store::table::TableName;
use crate::store::template::Words;

const CATALOG: &str = include_str!("../../../sql/postgres/catalog.sql");
const MIGRATED: &str = include_str!("../../../sql/postgres/migrated.sql");
const MIGRATE_RECORD: &str = include_str!("../../../sql/postgres/migrate_record.sql");
const TRAINING_RECORDS: &str = include_str!("../../../sql/postgres/training_records.sql");

/// A number, whether a program that does not know it must stop, and the statements.
const MIGRATIONS: [(u32, bool, &str); 3] = [
    (1, true, include_str!("../../../sql/postgres/0001_runs.sql")),
    (2, false, include_str!("../../../sql/postgres/0002_decided.sql")),
    (3, false, include_str!("../../../sql/postgres/0003_scale.sql")),
];

const MIGRATION_LOCK: &str = include_str!("../../../sql/postgres/migration_lock.sql");

impl Layout {
    /// Whether a run can be recorded without making anything first.
    pub(super) fn is_ready(&self) -> bool {
        self.table_exists && self.runs_exists && self.migrated.is_none_or(|number| number >= newest())
    }
}

/// Looks, and changes nothing.
pub(super) fn read(session: &mut Session<'_>, table: &TableName) -> Result<Layout, StoreError> {
    let row = session.row(CATALOG, &[Some(&table.quoted()), table.schema.as_deref()])?;
    let text = row.map(|row| session.text(&row, 0)).transpose()?.flatten().unwrap_or_default();
    let catalog: Catalog = serde_json::from_str(&text).map_err(|error| StoreError::Permanent {
        message: format!("the catalog of {} answers something else than expected: {error}", session.server.name()),
        hint: "runwrap needs PostgreSQL 12 or later".into(),
    })?;
    let migrated = match (&catalog.schema, catalog.migrations_exists) {
        (Some(schema), true) if catalog.migrations_readable => {
            let words = names(&TableName { schema: Some(schema.clone()), name: table.name.clone() });
            Some(migrated(session, &words)?)
        }
        // Only who made the table can have forbidden to read it, and it was not made half.
        (_, true) => None,
        (_, false) => Some(0),
    };
    Layout::new(catalog, table, migrated)
}

/// Makes what is missing. Returns how many migrations that took.
pub(super) fn make(session: &mut Session<'_>, table: &TableName) -> Result<usize, StoreError> {
    session.script(MIGRATION_LOCK)?;
    let layout = read(session, table)?;
    let done = layout.migrated.unwrap_or_else(newest);
    let mut applied = 0;
    for (number, breaking, statements) in MIGRATIONS.into_iter().filter(|(number, ..)| *number > done) {
        session.script(&layout.words.fill(statements))?;
        session.script(&record_of(&layout.words, number, breaking))?;
        applied += 1;
    }
    if !layout.table_exists {
        session.script(&layout.words.fill(TRAINING_RECORDS))?;
        applied += usize::from(applied == 0);
    }
    Ok(applied)
}

/// Everything that `make` does to an empty database, for a person with the rights to do it.
pub(in crate::store) fn migrations_sql(table: &TableName) -> String {
    let words = names(table);
    let mut script = String::from("BEGIN;\n\n");
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

fn migrated(session: &mut Session<'_>, words: &Words) -> Result<u32, StoreError> {
    let Some(row) = session.row(&words.fill(MIGRATED), &[])? else { return Ok(0) };
    let number = |column: usize| -> Result<u32, StoreError> {
        Ok(session.text(&row, column)?.and_then(|text| text.parse().ok()).unwrap_or(0))
    };
    let (last, breaking) = (number(0)?, number(1)?);
    if breaking > newest() {
        return Err(crate::store::too_new(session.server.name(), breaking, newest()));
    }
    Ok(last)
}

fn record_of(words: &Words, number: u32, breaking: bool) -> String {
    words.with("number", number.to_string()).with("breaking", breaking.to_string()).fill(MIGRATE_RECORD)
}

fn newest() -> u32 {
    MIGRATIONS.iter().map(|(number, ..)| *number).max().unwrap_or(0)
}
