//! The values of a run that the user's table refuses: by a type, a constraint, a missing partition or a missing row.

use super::super::session::Dialect;
use super::super::statement::{fill, section};
use super::super::table::{literal, quote};
use super::{Check, Concern, FactColumn, Facts, Finder, Mending, SAMPLES, Unfit, WORDS, borrowed};

/// Durations of runs, in seconds.
const DURATIONS: [&str; 4] = ["0", "60", "3600", "31536000"];

/// Columns whose values a run may lack, or may have smaller than the sample.
const OF_SOME_RUNS: [&str; 4] = ["train_duration", "train_metrics", "model_path", "error_message"];

/// A value that a column does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Refusal {
    pub(in crate::store) column: String,
    pub(in crate::store) value: &'static str,
    pub(in crate::store) cause: Cause,
}

/// What refuses a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Cause {
    Type,
    Check(Check),
    /// No partition takes it.
    Partition,
    /// The constraint, and the table that has no such row.
    Reference(String, String),
}

/// A value to try, by an expression that is true if the column's type takes it.
pub(in crate::store) struct Probe {
    pub(in crate::store) column: String,
    pub(in crate::store) value: &'static str,
    pub(in crate::store) expression: String,
}

/// The columns that a run writes, with the values to try.
fn written(facts: &Facts) -> impl Iterator<Item = (&FactColumn, &'static str)> {
    let words = WORDS.into_iter().map(|word| ("status", word));
    words.chain(SAMPLES).filter_map(|(name, value)| {
        let column = facts.column(name).filter(|column| !column.is_computed)?;
        let is_left_out = name == "created_at" && column.is_filled;
        let value = if name == "version" && column.is_integer() { "1" } else { value };
        (!is_left_out).then_some((column, value))
    })
}

/// The values to try on the types of the columns that a run writes.
pub(in crate::store) fn probes(facts: &Facts) -> Vec<Probe> {
    let probe = |(column, value): (&FactColumn, &'static str)| {
        let typed = format!("CAST({} AS {})", literal(value), column.kind);
        // An explicit cast shortens a text without an error.
        let expression = if column.name == "status" {
            format!("CAST({typed} AS text) = {}", literal(value))
        } else {
            format!("{typed} IS NOT NULL")
        };
        Probe { column: column.name.clone(), value, expression }
    };
    written(facts).map(probe).collect()
}

/// The values that the types of a STRICT table of SQLite refuse. Other tables of SQLite take every value.
pub(in crate::store) fn refused_by_strict_types(facts: &Facts) -> Vec<Refusal> {
    let is_strict = facts.relation(&facts.table).is_some_and(|table| table.is_strict);
    let refused = written(facts).filter(|(column, value)| match column.base_type.as_str() {
        "int" | "integer" => value.parse::<i64>().is_err(),
        "real" => value.parse::<f64>().is_err(),
        "blob" => true,
        _ => false,
    });
    let refusal = |(column, value): (&FactColumn, &'static str)| Refusal {
        column: column.name.clone(),
        value,
        cause: Cause::Type,
    };
    refused.filter(|_| is_strict).map(refusal).collect()
}

/// A source of rows with each combination of the values of its columns.
pub(in crate::store) fn rows_of(dialect: &Dialect, columns: &[(String, Vec<String>)]) -> String {
    let row = section(dialect, "probe_value");
    let sources = columns.iter().map(|(name, values)| {
        let name = quote(name);
        let rows: Vec<String> =
            values.iter().map(|value| fill(row, &[("{value}", value), ("{column}", &name)])).collect();
        format!("({}) AS {name}", rows.join(" UNION ALL "))
    });
    sources.collect::<Vec<_>>().join(" CROSS JOIN ")
}

/// Values of a column of [`super::facts::TIMES`], in SQL.
fn samples(dialect: &Dialect, name: &str) -> Vec<String> {
    let times = section(dialect, "probe_times").lines().map(str::to_owned);
    // A column of SQLite may keep a number as an integer, with a fraction, or as a text.
    let numbers = DURATIONS.iter().flat_map(|number| [(*number).to_owned(), format!("{number}.0")]);
    let durations = DURATIONS.map(literal).into_iter().chain(numbers.filter(|_| !dialect.enforces_lengths));
    if name == "train_duration" { durations.collect() } else { times.collect() }
}

impl Check {
    /// The values that its columns beside `status` may have in a row with the status `word`: a run leaves out each that is refused.
    /// `None` if that is not certain.
    pub(in crate::store) fn other_values(
        &self,
        dialect: &Dialect,
        facts: &Facts,
        word: &str,
    ) -> Option<Vec<(String, Vec<String>)>> {
        let others = self.columns.iter().filter(|name| *name != "status");
        let values = others.map(|name| {
            let is_certain = |column: &&FactColumn| !column.is_computed && !column.is_filled;
            let column = facts.column(name).filter(is_certain).filter(|_| facts.is_as_given(name, true))?;
            let mut values = vec!["NULL".to_owned()];
            if name == "train_start_time" || word != "training" {
                values.extend(samples(dialect, name));
            }
            if dialect.enforces_lengths {
                values = values.iter().map(|value| format!("CAST({value} AS {})", column.kind)).collect();
            }
            Some((name.clone(), values))
        });
        values.collect()
    }

    /// The expression after the repair of the type of `status`. A label that an enum gets is compared as a text, which has another
    /// order.
    pub(in crate::store) fn of_repaired_type(&self, status: &FactColumn) -> Option<String> {
        if status.enum_name.is_none() {
            return Some(self.expression.clone());
        }
        let without_unequal = self.expression.replace("<>", "");
        if without_unequal.contains(['<', '>']) {
            return None;
        }
        let cast = format!("::{}", status.kind);
        let mut parts = self.expression.split(&cast);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_longer_name = part.starts_with(|next: char| next.is_alphanumeric() || next == '_');
            text += if is_longer_name { return None } else { "::text" };
            text += part;
        }
        Some(text)
    }
}

impl Finder<'_> {
    /// Values that a type or a constraint refuses, in one finding per column and cause.
    pub(super) fn refused(&self, refusals: &[Refusal]) -> Vec<Unfit> {
        let mut found = Vec::new();
        let mut rest = refusals.to_vec();
        while let Some(Refusal { column, cause, .. }) = rest.first().cloned() {
            let is_same = |refusal: &Refusal| refusal.column == column && refusal.cause == cause;
            let values: Vec<&str> =
                rest.iter().filter(|refusal| is_same(refusal)).map(|refusal| refusal.value).collect();
            rest.retain(|refusal| !is_same(refusal));
            let Some(column) = self.facts.column(&column) else { continue };
            let (name, listed) = (&column.name, values.join(", "));
            found.push(match cause {
                Cause::Type => {
                    let concern =
                        if OF_SOME_RUNS.contains(&name.as_str()) { Concern::SomeRuns } else { Concern::EveryRun };
                    Unfit { concern, ..self.refused_by_type(column, &values) }
                }
                Cause::Check(check) => self.refused_by_check(column, &check, &values),
                Cause::Partition => Unfit::by_hand(
                    format!("column {name}: no partition of the table takes {listed}"),
                    format!("create a partition of {} for it, or a DEFAULT one", self.table),
                ),
                Cause::Reference(constraint, parent) => Unfit::by_hand(
                    format!("column {name}: {constraint} refuses {listed}: {parent} has no such row"),
                    format!("insert {listed} into {parent}"),
                ),
            });
        }
        found
    }

    fn refused_by_type(&self, column: &FactColumn, values: &[&str]) -> Unfit {
        let FactColumn { name, kind, .. } = column;
        let detail = format!("column {name}: its type {kind} does not take {}", values.join(", "));
        let advice = if self.facts.is_view() {
            "let the column of the table below the view take it"
        } else {
            "make the table again with a type that takes it"
        };
        if let Some(label) = &column.enum_name {
            let statements = values.iter().map(|word| {
                fill(section(self.dialect, "add_label"), &[("{enum}", label.as_str()), ("{word}", &literal(word))])
            });
            let sql = statements.collect::<Vec<_>>().join("\n");
            return Unfit { mending: Mending::Statements, ..Unfit::by_hand(detail, sql) };
        }
        let counts = name == "train_duration" && (column.is_integer() || column.base_type == "numeric");
        let kind = if counts { "bigint" } else { "text" };
        let tokens = [("{column}", quote(name)), ("{type}", kind.to_owned())];
        let unfit = self.repaired(detail, "change_type", &borrowed(&tokens), advice);
        unfit.hindered(self.facts.obstacle(name, "type"))
    }

    fn refused_by_check(&self, column: &FactColumn, check: &Check, values: &[&str]) -> Unfit {
        let constraint = if check.name.is_empty() { check.expression.clone() } else { check.name.clone() };
        let detail = format!("column {}: the constraint {constraint} refuses {}", column.name, values.join(", "));
        let words = values.iter().map(|word| literal(word)).collect::<Vec<_>>().join(", ");
        let tokens = [
            ("{constraint}", quote(&check.name)),
            ("{expression}", check.expression.clone()),
            ("{column}", quote(&column.name)),
            ("{words}", words),
            ("{validity}", if check.is_validated { String::new() } else { " NOT VALID".to_owned() }),
        ];
        let advice = format!("make the table again with a constraint that admits {}", values.join(", "));
        let unfit = self.repaired(detail, "admit_words", &borrowed(&tokens), &advice);
        unfit.hindered(check.is_inherited.then_some("the constraint is inherited"))
    }
}
