//! Reads the facts for `fitness`: the catalog, and the values that types and constraints refuse. Must not write.

use super::fitness::{
    Cause, Facts, Probe, Refusal, Unfit, WORDS, findings, left_to_set, probes, refused_by_strict_types, rows_of,
};
use super::session::{Access, Class, Failure, Rows, Texts};
use super::statement::{fill, list, section};
use super::table::{literal, quote};
use super::{Store, StoreError};

/// The tables as `check` and `migrate` see them.
pub(super) struct Looked {
    pub(super) facts: Facts,
    /// The user's table in statements, quoted.
    pub(super) table: String,
    /// The schema of runwrap's tables, quoted.
    pub(super) schema: String,
    pub(super) unfit: Vec<Unfit>,
    /// The columns that a run must fill with `--set`, save those that are given.
    pub(super) left_to_set: Vec<String>,
    /// The last migration.
    pub(super) migrated: u32,
}

impl Store {
    /// Returns why the user's table cannot take the record of a run. A table that is missing is none if a run may make it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn unfit(&mut self) -> Result<Vec<Unfit>, StoreError> {
        Ok(self.looked(&[])?.unfit)
    }

    /// As [`Store::unfit`], for a run that gives the columns of `set` their values.
    ///
    /// # Errors
    /// As there.
    pub fn unfit_for(&mut self, set: &[(String, String)]) -> Result<Vec<Unfit>, StoreError> {
        let names: Vec<String> = set.iter().map(|(name, _)| name.clone()).collect();
        let mut unfit = self.looked(&names)?.unfit;
        unfit.retain(|unfit| unfit.concerns(set));
        Ok(unfit)
    }

    /// Looks at the tables in a transaction that can write nothing, for a run that fills the columns `set`.
    pub(super) fn looked(&mut self, set: &[String]) -> Result<Looked, Failure> {
        let result = self.begin_with(Access::Read, &[]).and_then(|_none| self.look(set));
        match self.end_transaction(result) {
            // There is no file yet.
            Err(Failure { class: Class::Empty, .. }) => {
                let (table, schema) = (self.session.dialect().place)(&self.table, None);
                let (facts, unfit, left_to_set) = (Facts::default(), Vec::new(), Vec::new());
                Ok(Looked { facts, table, schema, unfit, left_to_set, migrated: 0 })
            }
            other => other,
        }
    }

    fn look(&mut self, set: &[String]) -> Result<Looked, Failure> {
        let dialect = self.session.dialect();
        self.session.rows(section(dialect, "read_only"), &[])?;
        let texts = [Some(self.table.quoted()), self.table.schema.clone(), Some(self.table.name.clone())];
        let texts = texts.each_ref().map(Option::as_deref);
        let rows = self.session.rows(section(dialect, "fitness"), &texts)?;
        let mut facts = Facts::new(dialect, &self.table.name, &rows);
        if facts.has_table() && facts.has_usage {
            facts.fill_in(&self.read_shape(None)?.columns);
        }
        let known = Some(facts.schema.as_str()).filter(|schema| !schema.is_empty());
        let (table, schema) = (dialect.place)(&self.table, known.or(self.table.schema.as_deref()));
        let mut refusals =
            if dialect.enforces_lengths { self.refused_by_types(&facts)? } else { refused_by_strict_types(&facts) };
        let of_checks = self.refused_by_checks(&facts, &refusals)?;
        refusals.extend(of_checks);
        refusals.extend(self.refused_by_partitions(&facts)?);
        refusals.extend(self.refused_by_references(&facts)?);
        let left_to_set = left_to_set(&facts, set);
        let in_use =
            left_to_set.is_empty() || (facts.relation("runwrap_runs").is_some() && self.has_runs(&facts, &schema)?);
        let migrated = self.last_readable_migration(&facts, &schema)?;
        facts.is_migrated = migrated >= dialect.newest_migration();
        let unfit = findings(dialect, &table, &facts, &refusals, in_use);
        Ok(Looked { facts, table, schema, unfit, left_to_set, migrated })
    }

    /// Whether runs have their records in the table.
    fn has_runs(&mut self, facts: &Facts, schema: &str) -> Result<bool, Failure> {
        let used = fill(section(self.session.dialect(), "has_runs"), &[("{schema}", schema)]);
        let rows = self.tried(&used, &[Some(&facts.table)])?;
        Ok(rows.is_ok_and(|rows| !rows.is_empty()))
    }

    fn last_readable_migration(&mut self, facts: &Facts, schema: &str) -> Result<u32, Failure> {
        let Some(migrations) = facts.relation("runwrap_migrations") else { return Ok(0) };
        if !facts.has_usage || !migrations.rights.iter().any(|right| right == "SELECT") {
            // Migrations are never applied half.
            return Ok(self.session.dialect().newest_migration());
        }
        self.last_migration(schema)
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
                refused.push(Refusal { column: probe.column.clone(), value: probe.value, cause: Cause::Type });
            }
        }
        Ok(refused)
    }

    /// Evaluates each constraint for each word in the database, as the column is after the repair of its type: `of_types` are the
    /// values that this refuses. A constraint that cannot be evaluated alone refuses nothing.
    fn refused_by_checks(&mut self, facts: &Facts, of_types: &[Refusal]) -> Result<Vec<Refusal>, Failure> {
        let Some(status) = facts.column("status").filter(|_| facts.is_as_given("status", true)) else {
            return Ok(Vec::new());
        };
        let mut refused = Vec::new();
        for check in &facts.checks {
            let repaired = check.of_repaired_type(status);
            for word in WORDS {
                let is_retyped = of_types.iter().any(|refusal| refusal.column == "status" && refusal.value == word);
                let (kind, expression) = match &repaired {
                    Some(repaired) if is_retyped => ("text", repaired),
                    None if is_retyped => continue,
                    _ => (status.kind.as_str(), &check.expression),
                };
                let value = literal(word);
                let is_typed = self.session.dialect().enforces_lengths;
                let value = if is_typed { format!("CAST({value} AS {kind})") } else { value };
                let collated = check.collation.iter().map(|collation| format!(" COLLATE {collation}"));
                let value = collated.fold(value, |value, collation| value + &collation);
                let Some(mut values) = check.other_values(self.session.dialect(), facts, word) else { break };
                values.push(("status".to_owned(), vec![value]));
                match self.evaluated(facts, expression, &values)? {
                    Some(false) => {
                        let cause = Cause::Check(check.clone());
                        refused.push(Refusal { column: "status".into(), value: word, cause });
                    }
                    Some(true) => {}
                    // It may take long for each word.
                    None => break,
                }
            }
        }
        Ok(refused)
    }

    /// The values for which no partition is there. Only a key of one column whose value is known.
    fn refused_by_partitions(&mut self, facts: &Facts) -> Result<Vec<Refusal>, Failure> {
        let Some(partition) = &facts.partition else { return Ok(Vec::new()) };
        let Some(column) = facts.column(&partition.column).filter(|column| facts.is_as_given(&column.name, true))
        else {
            return Ok(Vec::new());
        };
        let (values, written) = match column.name.as_str() {
            "status" => (&WORDS[..], None),
            "train_start_time" => (&["the time of the start"][..], Some("now()")),
            "created_at" if ["", "now()", "CURRENT_TIMESTAMP"].contains(&partition.default.as_str()) => {
                (&["the time of the start"][..], Some("now()"))
            }
            _ => return Ok(Vec::new()),
        };
        let mut refused = Vec::new();
        for value in values {
            let written = written.map_or_else(|| literal(value), str::to_owned);
            // A run leaves out a time that is refused.
            let written = [written, "NULL".to_owned()].map(|value| format!("CAST({value} AS {})", column.kind));
            let tried = if column.name == "status" { &written[..1] } else { &written[..] };
            let values = [(column.name.clone(), tried.to_vec())];
            if self.evaluated(facts, &partition.expression, &values)? == Some(false) {
                refused.push(Refusal { column: column.name.clone(), value, cause: Cause::Partition });
            }
        }
        Ok(refused)
    }

    fn refused_by_references(&mut self, facts: &Facts) -> Result<Vec<Refusal>, Failure> {
        let Some(status) = facts.column("status").filter(|_| facts.is_as_given("status", true)) else {
            return Ok(Vec::new());
        };
        let mut refused = Vec::new();
        for reference in &facts.references {
            for word in WORDS {
                let value = format!("CAST({} AS {})", literal(word), status.kind);
                let tokens =
                    [("{parent}", reference.parent.as_str()), ("{column}", &reference.column), ("{value}", &value)];
                let select = fill(section(self.session.dialect(), "probe_reference"), &tokens);
                if self.tried(&select, &[])?.is_ok_and(|rows| has_false(&rows)) {
                    let cause = Cause::Reference(reference.constraint.clone(), reference.parent.clone());
                    refused.push(Refusal { column: "status".into(), value: word, cause });
                }
            }
        }
        Ok(refused)
    }

    /// Whether some row with such values passes `expression`; `None` if it cannot be evaluated.
    fn evaluated(
        &mut self,
        facts: &Facts,
        expression: &str,
        values: &[(String, Vec<String>)],
    ) -> Result<Option<bool>, Failure> {
        // A constraint of SQLite may name its table.
        let (alias, rows) = (quote(&facts.table), rows_of(self.session.dialect(), values));
        let tokens = [("{expression}", expression), ("{rows}", &rows), ("{alias}", &alias)];
        let select = fill(section(self.session.dialect(), "probe_check"), &tokens);
        Ok(self.tried(&select, &[])?.ok().map(|rows| !has_false(&rows)))
    }

    /// The rows of a statement, or the class of its error, within a bound of time. A failure of the connection is returned as such.
    fn tried(&mut self, statement: &str, texts: Texts<'_>) -> Result<Result<Rows, Class>, Failure> {
        self.session.script(section(self.session.dialect(), "begin_probe"))?;
        let result = self.session.rows(statement, texts);
        match (self.session.script("ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe"), result) {
            (Err(_), Err(failure)) | (Err(failure), Ok(_)) => Err(failure),
            (Ok(()), result) => Ok(result.map_err(|failure| failure.class)),
        }
    }
}

/// Whether a value is false, in either dialect.
fn has_false(rows: &Rows) -> bool {
    rows.iter().flatten().any(|value| matches!(value.as_deref(), Some("false" | "0")))
}
