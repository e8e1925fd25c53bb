//! Creates and migrates runwrap's tables. Owns the order of migrations and the script for a person with the rights.

use super::fitness::{Mending, RIGHTS};
use super::session::{Access, Dialect, Failure, Fields, Migration, is_true};
use super::shape::Shape;
use super::statement::{fill, section};
use super::table::{literal, quote};
use super::table_check::Looked;
use super::transaction::sql;
use super::{Store, StoreError, too_new};

/// Makes `runwrap_series`. Its statements make only what is missing.
const SERIES_MIGRATION: u32 = 8;

impl Store {
    /// Brings the tables up to date. Returns how many migrations were applied.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn migrate(&mut self) -> Result<usize, StoreError> {
        Ok(self.make_tables()?)
    }

    /// Returns the statements that [`Self::migrate`] and a repair of the user's table need, for a person to run.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn missing_sql(&mut self) -> Result<String, StoreError> {
        let looked = self.looked(&[])?;
        Ok(script(self.session.dialect(), &looked))
    }

    /// Creates the missing tables and applies the missing migrations, in one transaction.
    pub(super) fn make_tables(&mut self) -> Result<usize, Failure> {
        self.options.cache.set_shape(None);
        let begun = self.begin_with(Access::Begin, &[]);
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
        if applied == 0 && self.lacks_series(&shape)? {
            let tables = [("{schema}", shape.schema.as_str())];
            self.session.script(&fill(series_statements(dialect), &tables))?;
            applied += 1;
        }
        if !shape.has_table() {
            let table = sql(self.session.as_ref(), &shape, "training_records", &[]);
            self.session.script(&table)?;
            applied += usize::from(applied == 0);
        }
        Ok(applied)
    }

    /// The last migration in the schema, which is quoted.
    pub(super) fn last_migration(&mut self, schema: &str) -> Result<u32, Failure> {
        let dialect = self.session.dialect();
        let migrated = fill(section(dialect, "migrated"), &[("{schema}", schema)]);
        let rows = self.session.batch(&[(&migrated, &[])])?;
        let number = |row: &Fields| row.first()?.as_deref()?.parse::<u32>().ok();
        let is_breaking = |row: &&Fields| row.get(1).and_then(Option::as_deref).is_some_and(is_true);
        let breaking = rows.iter().filter(is_breaking).filter_map(number).max().unwrap_or(0);
        let newest = dialect.newest_migration();
        if breaking > newest {
            return Err(too_new(self.session.name(), breaking, newest).into());
        }
        Ok(rows.iter().filter_map(number).max().unwrap_or(0))
    }

    /// Whether `runwrap_series` was dropped.
    fn lacks_series(&mut self, shape: &Shape) -> Result<bool, Failure> {
        let table = format!("{}.runwrap_series", shape.schema);
        let rows = self.session.rows(section(self.session.dialect(), "series_table"), &[Some(&table)])?;
        Ok(rows.iter().flatten().all(Option::is_none))
    }
}

/// The statements that make `runwrap_series`.
fn series_statements(dialect: &Dialect) -> &'static str {
    let mut migrations = dialect.migrations.iter();
    migrations.find(|migration| migration.number == SERIES_MIGRATION).map_or("", |migration| migration.statements)
}

/// The statements of a migration, and the one that records it.
fn recorded(dialect: &Dialect, migration: &Migration, tables: &[(&str, &str)]) -> String {
    let values = format!("{}, {}", migration.number, migration.is_breaking);
    let record = fill(section(dialect, "record_migration"), &[tables, &[("{values}", &values)]].concat());
    fill(migration.statements, tables) + &record
}

/// The statements that make the tables as `looked` lacks them, the rights that the role lacks on them, and the repairs of the user's
/// table. Each may be applied twice where the dialect permits.
fn script(dialect: &Dialect, looked: &Looked) -> String {
    let Looked { facts, table, schema, unfit, migrated, left_to_set: _ } = looked;
    let (schema_token, prefix) = if schema.is_empty() { ("{schema}.", "") } else { ("{schema}", schema.as_str()) };
    let role = quote(&facts.role);
    let tokens = [("{table}", table.as_str()), (schema_token, prefix), ("{role}", &role)];
    let filled = |name: &str, more: &[(&str, &str)]| fill(section(dialect, name), &[&tokens, more].concat());
    let mut parts = vec![format!("{};", dialect.begin_script)];
    let has_role = !facts.role.is_empty();
    if has_role && facts.schema.is_empty() && !schema.is_empty() {
        parts.extend([filled("create_schema", &[]), filled("grant_usage", &[])]);
    }
    for migration in dialect.migrations.iter().filter(|migration| migration.number > *migrated) {
        let number = migration.number.to_string();
        let statements = recorded(dialect, migration, &tokens[..2]);
        let known = literal(&fill("{schema}.runwrap_migrations", &tokens[..2]));
        let once = [("{number}", number.as_str()), ("{migrations}", &known), ("{statements}", &statements)];
        parts.push(format!("-- Migration {number}.\n{}", filled("migration", &once)));
    }
    let mut made = Vec::new();
    if *migrated < dialect.newest_migration() {
        made.extend(
            ["runwrap_runs", "runwrap_versions", "runwrap_series"]
                .map(|name| fill(&format!("{{schema}}.{name}"), &tokens[..2])),
        );
    }
    if *migrated >= SERIES_MIGRATION && facts.relation("runwrap_series").is_none() {
        parts.push(fill(series_statements(dialect), &tokens[..2]));
        made.push(fill("{schema}.runwrap_series", &tokens[..2]));
    }
    if !facts.has_table() {
        parts.push(filled("training_records", &[]));
        made.push(table.clone());
    }
    if has_role && !made.is_empty() {
        let grant = [("{rights}", RIGHTS.join(", ")), ("{object}", made.join(", "))];
        let grant = grant.each_ref().map(|(token, value)| (*token, value.as_str()));
        parts.push(filled("grant", &grant));
    }
    parts.push("COMMIT;".to_owned());
    // A repair that fails must not undo the others.
    parts.extend(unfit.iter().filter_map(|unfit| match unfit.mending {
        Mending::Statements => Some(format!("{};\n{}\nCOMMIT;", dialect.begin_script, unfit.repair)),
        Mending::ByHand => Some(format!("-- By hand: {}: {}", unfit.detail, unfit.repair).replace('\n', "\n--   ")),
        Mending::Migration => None,
    }));
    parts.join("\n\n") + "\n"
}
