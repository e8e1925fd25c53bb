//! Reads the facts for `fitness`: the catalog, and the values that types and constraints refuse. Must not write.

use super::fitness::{Facts, Probe, Refusal, Unfit, WORDS, depends_on_use, findings, probes, refused_by_strict_types};
use super::session::{Access, Class, Failure, Rows, Texts};
use super::statement::{fill, list, section};
use super::table::{literal, quote};
use super::{Store, StoreError, too_new};

/// The tables as `check` and `migrate` see them.
pub(super) struct Looked {
    pub(super) facts: Facts,
    /// The user's table in statements, quoted.
    pub(super) table: String,
    /// The schema of runwrap's tables, quoted.
    pub(super) schema: String,
    pub(super) unfit: Vec<Unfit>,
    /// The last migration.
    pub(super) migrated: u32,
}

impl Store {
    /// Returns why the user's table cannot take the record of a run. A table that is missing is none: a run makes it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn unfit(&mut self) -> Result<Vec<Unfit>, StoreError> {
        Ok(self.looked()?.unfit)
    }

    /// As [`Store::unfit`], for a run that gives the columns of `set` their values.
    ///
    /// # Errors
    /// As there.
    pub fn unfit_for(&mut self, set: &[(String, String)]) -> Result<Vec<Unfit>, StoreError> {
        let mut unfit = self.unfit()?;
        let is_set = |column: &String| set.iter().any(|(name, _)| name == column);
        unfit.retain(|unfit| !unfit.settable.as_ref().is_some_and(is_set));
        Ok(unfit)
    }

    /// Looks at the tables in a transaction that can write nothing.
    pub(super) fn looked(&mut self) -> Result<Looked, Failure> {
        let result = self.begin_with(Access::Read, None).and_then(|_none| self.look());
        match self.end_transaction(result) {
            // There is no file yet.
            Err(Failure { class: Class::Empty, .. }) => {
                let (table, schema) = (self.session.dialect().place)(&self.table, None);
                Ok(Looked { facts: Facts::default(), table, schema, unfit: Vec::new(), migrated: 0 })
            }
            other => other,
        }
    }

    fn look(&mut self) -> Result<Looked, Failure> {
        let dialect = self.session.dialect();
        self.session.rows(section(dialect, "read_only"), &[])?;
        let texts = [Some(self.table.quoted()), self.table.schema.clone(), Some(self.table.name.clone())];
        let texts = texts.each_ref().map(Option::as_deref);
        let rows = self.session.rows(section(dialect, "fitness"), &texts)?;
        let mut facts = Facts::new(&self.table.name, &rows);
        if facts.has_table() && facts.has_usage {
            facts.fill_in(&self.read_shape(None)?.columns);
        }
        let known = Some(facts.schema.as_str()).filter(|schema| !schema.is_empty());
        let (table, schema) = (dialect.place)(&self.table, known.or(self.table.schema.as_deref()));
        let mut refusals =
            if dialect.enforces_lengths { self.refused_by_types(&facts)? } else { refused_by_strict_types(&facts) };
        refusals.extend(self.refused_by_checks(&facts)?);
        let in_use = depends_on_use(&facts) && facts.relation("runwrap_runs").is_some() && {
            let tokens = [("{schema}", schema.as_str())];
            let used = fill(section(dialect, "has_runs"), &tokens);
            let rows = self.tried(&used, &[Some(&facts.table)])?;
            rows.is_ok_and(|rows| !rows.is_empty())
        };
        let unfit = findings(dialect, &table, &facts, &refusals, in_use);
        let migrated = self.last_migration(&facts, &schema)?;
        Ok(Looked { facts, table, schema, unfit, migrated })
    }

    fn last_migration(&mut self, facts: &Facts, schema: &str) -> Result<u32, Failure> {
        let Some(migrations) = facts.relation("runwrap_migrations") else { return Ok(0) };
        let newest = self.session.dialect().newest_migration();
        if !facts.has_usage || !migrations.rights.iter().any(|right| right == "SELECT") {
            // Migrations are never applied half.
            return Ok(newest);
        }
        let select = fill(section(self.session.dialect(), "migrated"), &[("{schema}", schema)]);
        let rows = self.session.rows(&select, &[])?;
        let number = |at: usize| -> u32 {
            let text = rows.first().and_then(|row| row.get(at)).and_then(Option::as_deref);
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        if number(1) > newest {
            return Err(too_new(self.session.name(), number(1), newest).into());
        }
        Ok(number(0))
    }

    /// One statement tries all values; the value behind an error is found one by one.
    fn refused_by_types(&mut self, facts: &Facts) -> Result<Vec<Refusal>, Failure> {
        let probes = probes(facts);
        let probe = section(self.session.dialect(), "probe");
        let select = |probes: &[&Probe]| {
            let values = list(probes.iter().map(|probe| format!("CAST({} AS text)", probe.expression)));
            fill(probe, &[("{values}", &values)])
        };
        let all: Vec<&Probe> = probes.iter().collect();
        let is_taken = |rows: &Rows| rows.iter().flatten().all(|value| value.as_deref() == Some("true"));
        if all.is_empty() || self.tried(&select(&all), &[])?.is_ok_and(|rows| is_taken(&rows)) {
            return Ok(Vec::new());
        }
        let mut refused = Vec::new();
        for probe in &probes {
            let is_refused = match self.tried(&select(&[probe]), &[])? {
                Ok(rows) => !is_taken(&rows),
                Err(class) => matches!(class, Class::BadValue | Class::BadText | Class::Refused),
            };
            if is_refused {
                refused.push(Refusal { column: probe.column.clone(), value: probe.value, check: None });
            }
        }
        Ok(refused)
    }

    /// Evaluates each constraint for each word in the database. One that cannot be evaluated alone refuses nothing.
    fn refused_by_checks(&mut self, facts: &Facts) -> Result<Vec<Refusal>, Failure> {
        let Some(status) = facts.column("status").filter(|_| facts.is_as_given("status", true)) else {
            return Ok(Vec::new());
        };
        let is_typed = self.session.dialect().enforces_lengths;
        let mut refused = Vec::new();
        for check in &facts.checks {
            for word in WORDS {
                let value = literal(word);
                let value = if is_typed { format!("CAST({value} AS {})", status.kind) } else { value };
                let collated = check.collation.iter().map(|collation| format!(" COLLATE {collation}"));
                let value = collated.fold(value, |value, collation| value + &collation);
                // A constraint of SQLite may name its table.
                let table = quote(&facts.table);
                let tokens = [("{expression}", check.expression.as_str()), ("{value}", &value), ("{alias}", &table)];
                let select = fill(section(self.session.dialect(), "probe_check"), &tokens);
                let is_false = |value: &Option<String>| matches!(value.as_deref(), Some("false" | "0"));
                if self.tried(&select, &[])?.is_ok_and(|rows| rows.iter().flatten().any(is_false)) {
                    refused.push(Refusal { column: "status".into(), value: word, check: Some(check.clone()) });
                }
            }
        }
        Ok(refused)
    }

    /// The rows of a statement, or the class of its error. An error that a later attempt may not meet is returned as such.
    fn tried(&mut self, statement: &str, texts: Texts<'_>) -> Result<Result<Rows, Class>, Failure> {
        self.session.script("SAVEPOINT probe")?;
        let result = self.session.rows(statement, texts);
        let end = if result.is_ok() {
            "RELEASE SAVEPOINT probe"
        } else {
            "ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe"
        };
        match result {
            Err(failure) if matches!(failure.error, StoreError::Transient { .. }) => Err(failure),
            other => {
                self.session.script(end)?;
                Ok(other.map_err(|failure| failure.class))
            }
        }
    }
}
