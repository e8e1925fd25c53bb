//! Creates and migrates runwrap's tables. Owns the order of migrations and the script for a person with the rights.

use super::session::{Access, Dialect, Failure, Migration};
use super::statement::{fill, section};
use super::table::TableName;
use super::transaction::sql;
use super::{Store, StoreError};

impl Store {
    /// Brings the tables up to date. Returns how many migrations were applied.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn migrate(&mut self) -> Result<usize, StoreError> {
        Ok(self.make_tables()?)
    }

    /// Creates the missing tables and applies the missing migrations, in one transaction.
    pub(super) fn make_tables(&mut self) -> Result<usize, Failure> {
        self.options.shape.set(None);
        let begun = self.begin_with(Access::Begin, None);
        let made = begun.and_then(|_none| self.make_missing());
        self.end_transaction(made)
    }

    fn make_missing(&mut self) -> Result<usize, Failure> {
        let lock = section(self.session.dialect(), "lock_migrations");
        self.session.rows(lock, &[])?;
        let shape = self.read_shape(None)?;
        let dialect = self.session.dialect();
        let done = self.migrated(&shape)?.unwrap_or_else(|| dialect.newest_migration());
        let mut applied = 0;
        for migration in dialect.migrations.iter().filter(|migration| migration.number > done) {
            let tables = [("{table}", shape.table.as_str()), ("{schema}", shape.schema.as_str())];
            self.session.script(&recorded(dialect, migration, &tables))?;
            applied += 1;
        }
        if !shape.has_table() {
            let table = sql(self.session.as_ref(), &shape, "training_records", &[]);
            self.session.script(&table)?;
            applied += usize::from(applied == 0);
        }
        Ok(applied)
    }
}

/// The statements of a migration, and the one that records it.
fn recorded(dialect: &Dialect, migration: &Migration, tables: &[(&str, &str)]) -> String {
    let values = format!("{}, {}", migration.number, migration.is_breaking);
    let record = fill(section(dialect, "record_migration"), &[tables, &[("{values}", &values)]].concat());
    fill(migration.statements, tables) + &record
}

/// Everything that `migrate` does to an empty database, for a person to run.
pub(super) fn script(dialect: &Dialect, table: &TableName) -> String {
    let (table, schema) = (dialect.place)(table, table.schema.as_deref());
    // Without a schema the search path decides where the tables are made.
    let schema = if schema.is_empty() { String::new() } else { format!("{schema}.") };
    let tables = [("{table}", table.as_str()), ("{schema}.", schema.as_str())];
    let mut script = format!("{};\n\n", dialect.begin_script);
    for migration in dialect.migrations {
        let note = "Leave out each migration whose number is in runwrap_migrations.";
        script.extend(["-- Migration ", &migration.number.to_string(), ". ", note, "\n"]);
        script.extend([&recorded(dialect, migration, &tables), "\n\n"]);
    }
    script + &fill(section(dialect, "training_records"), &tables) + "\n\nCOMMIT;\n"
}
